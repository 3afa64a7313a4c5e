/* The number of ones in some words. */
static inline uint32_t net_ones_of(const uint32_t *x, int words)
{
    uint32_t n = 0;
    int k;
    for (k = 0; k < words; k++)
        n += net_ones(x[k]);
    return n;
}
