/* The sum of the bytes under the ones of a row of weights, from the sums of four. */
static inline int32_t net_sum_of_tables(const uint16_t *sums, const uint32_t *weight, int words)
{
    int32_t total = 0;
    int k;
    for (k = 0; k < words; k++, sums += 128) {
        uint32_t word = NET_READ32(weight + k);
        total += sums[word & 15u];
        total += sums[16 + ((word >> 4) & 15u)];
        total += sums[32 + ((word >> 8) & 15u)];
        total += sums[48 + ((word >> 12) & 15u)];
        total += sums[64 + ((word >> 16) & 15u)];
        total += sums[80 + ((word >> 20) & 15u)];
        total += sums[96 + ((word >> 24) & 15u)];
        total += sums[112 + (word >> 28)];
    }
    return total;
}
