/* The sum of the bytes, shifted to the right, under the ones of a row of weights. */
static inline int32_t net_sum_of_chosen(const uint8_t *bytes, const uint32_t *weight, int n,
                                        int shift)
{
    int32_t total = 0;
    uint32_t word = 0;
    int i;
    for (i = 0; i < n; i++, word >>= 1) {
        if ((i & 31) == 0)
            word = NET_READ32(weight++);
        if (word & 1u)
            total += bytes[i] >> shift;
    }
    return total;
}
