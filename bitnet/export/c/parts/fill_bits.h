/* Set n bits of y, from bit `at` on, to the bits of `word`, all 0 or all 1; see copy_bits. */
static inline void net_fill_bits(uint32_t *y, int at, uint32_t word, int n)
{
    while (n > 0) {
        int start = at & 31, taken = n < 32 - start ? n : 32 - start;
        uint32_t bits = word & (0xffffffffu >> (32 - taken));
        y[at >> 5] = start ? y[at >> 5] | (bits << start) : bits;
        at += taken;
        n -= taken;
    }
}
