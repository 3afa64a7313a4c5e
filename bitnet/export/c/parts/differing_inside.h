/* The number of bits inside a mask in which x differs from a row of weights. */
static inline uint32_t net_differing_inside(const uint32_t *x, const uint32_t *weight,
                                            const uint32_t *mask, int words)
{
    uint32_t n = 0;
    int k;
    for (k = 0; k < words; k++)
        n += net_ones((x[k] ^ NET_READ32(weight + k)) & mask[k]);
    return n;
}
