/* The signs or codes of n floats: the code is the number of edges that are at most x. */
static inline void net_quantize(const float *x, int n, const float *edges, int levels,
                                const uint32_t *patterns, int planes, uint32_t *y)
{
    int apart = (n + 31) / 32, j, l, b;
    for (j = 0; j < n; j++) {
        uint32_t code = 0;
        for (l = 0; l < levels; l++)
            code += x[j] >= NET_READF(edges + l);
        if (patterns)
            code = NET_READ32(patterns + code);
        for (b = 0; b < planes; b++) {
            uint32_t bit = ((code >> b) & 1u) << (j & 31), *word = y + b * apart + (j >> 5);
            *word = (j & 31) ? *word | bit : bit;
        }
    }
}
