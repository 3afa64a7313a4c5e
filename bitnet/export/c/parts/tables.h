/* For each four bytes, shifted to the right, write the sums of all 16 choices among them.  Return
   the sum of all. */
static inline int32_t net_tables(const uint8_t *bytes, int n, int shift, uint16_t *sums)
{
    int32_t total = 0;
    int i, b, j;
    for (i = 0; i < 8 * ((n + 31) / 32); i++, sums += 16) {
        sums[0] = 0;
        for (b = 0; b < 4; b++) {
            uint16_t own = 4 * i + b < n ? (uint16_t)(bytes[4 * i + b] >> shift) : (uint16_t)0;
            total += own;
            for (j = 0; j < 1 << b; j++)
                sums[j + (1 << b)] = (uint16_t)(sums[j] + own);
        }
    }
    return total;
}
