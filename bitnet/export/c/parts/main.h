#include <stdio.h>

int main(void)
{
    static net_state state;
    static KIND input[INPUTS];
    size_t n;
    int failed = net_self_test(&state);
    if (failed) {
        fprintf(stderr, "the scores of test input %d differ from those of Python\n", failed - 1);
        return 1;
    }
    while ((n = fread(input, sizeof input[0], INPUTS, stdin)) == INPUTS)
        printf("%d\n", net_predict(&state, input));
    if (n) {
        fprintf(stderr, "the last input has %d values; expected %d\n", (int)n, INPUTS);
        return 1;
    }
    return 0;
}
