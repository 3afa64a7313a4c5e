/* The number of ones of a row of weights inside a mask. */
static inline uint32_t net_ones_inside(const uint32_t *weight, const uint32_t *mask, int words)
{
    uint32_t n = 0;
    int k;
    for (k = 0; k < words; k++)
        n += net_ones(NET_READ32(weight + k) & mask[k]);
    return n;
}
