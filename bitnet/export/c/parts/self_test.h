/* Compute the scores of TESTS drawn inputs; return 0, or 1 + the first input whose scores differ
   from those of Python. */
static inline int net_self_test(net_state *state)
{
    uint32_t drawn = 1;
    int test, i;
    for (test = 0; test < TESTS; test++) {
        INPUT_KIND input[INPUTS];
        KIND scores[CLASSES];
        for (i = 0; i < INPUTS; i++) {
            drawn = drawn * 1664525u + 1013904223u;
            input[i] = DRAW;
        }
        net_scores(state, input, scores);
        for (i = 0; i < CLASSES; i++)
            if (scores[i] != READ(net_expected + test * CLASSES + i))
                return 1 + test;
    }
    return 0;
}
