/* The sum of n bytes, shifted to the right. */
static inline int32_t net_sum_of_bytes(const uint8_t *bytes, int n, int shift)
{
    int32_t total = 0;
    int i;
    for (i = 0; i < n; i++)
        total += bytes[i] >> shift;
    return total;
}
