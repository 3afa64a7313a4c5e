/* Copy n bits of x, from bit `from` on, to y, from bit `at` on.  The bits of y are written in order
   from bit 0, so each word is set at its first bit. */
static inline void net_copy_bits(uint32_t *y, int at, const uint32_t *x, int from, int n)
{
    while (n > 0) {
        int start = at & 31, skipped = from & 31, room = 32 - (start > skipped ? start : skipped);
        int taken = n < room ? n : room;
        uint32_t bits = (x[from >> 5] >> skipped) & (0xffffffffu >> (32 - taken));
        y[at >> 5] = start ? y[at >> 5] | (bits << start) : bits;
        at += taken;
        from += taken;
        n -= taken;
    }
}
