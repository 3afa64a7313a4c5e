/* The number of bits in which x differs from a row of weights. */
static inline uint32_t net_differing(const uint32_t *x, const uint32_t *weight, int words)
{
    uint32_t n = 0;
    int k = 0;
#if !NET_POPCOUNT
    /* Harley and Seal: full adders sum 8 words into ones, twos, fours and eights. */
    uint32_t ones = 0, twos = 0, fours = 0;
    for (; k + 8 <= words; k += 8) {
        uint32_t carry[2], carry_of_twos[2];
        int half, pair;
        for (half = 0; half < 2; half++) {
            for (pair = 0; pair < 2; pair++) {
                int i = k + 4 * half + 2 * pair;
                uint32_t a = x[i] ^ NET_READ32(weight + i);
                uint32_t b = x[i + 1] ^ NET_READ32(weight + i + 1);
                uint32_t either = ones ^ a;
                carry[pair] = (ones & a) | (either & b);
                ones = either ^ b;
            }
            {
                uint32_t either = twos ^ carry[0];
                carry_of_twos[half] = (twos & carry[0]) | (either & carry[1]);
                twos = either ^ carry[1];
            }
        }
        {
            uint32_t either = fours ^ carry_of_twos[0];
            n += net_ones((fours & carry_of_twos[0]) | (either & carry_of_twos[1]));
            fours = either ^ carry_of_twos[1];
        }
    }
    if (k > 0)
        n = 8 * n + 4 * net_ones(fours) + 2 * net_ones(twos) + net_ones(ones);
#endif
    for (; k < words; k++)
        n += net_ones(x[k] ^ NET_READ32(weight + k));
    return n;
}
