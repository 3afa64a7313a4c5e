/* Split n bytes into their top planes: bit i of plane b is bit b of the shifted byte i. */
static inline void net_split_bytes(const uint8_t *bytes, int n, int planes, uint32_t *y)
{
    int words = (n + 31) / 32, k, i, b;
    for (k = 0; k < words; k++) {
        for (b = 0; b < planes; b++)
            y[b * words + k] = 0;
        for (i = 0; i < 32 && 32 * k + i < n; i += 8) {
            /* Eight bytes are a square of 8 x 8 bits, which is transposed by blocks. */
            uint64_t square = 0, swapped;
            int left = n - 32 * k - i;
            if (left >= 8) {
                const uint8_t *p = bytes + 32 * k + i;
                square = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
                         (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
                         (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
            } else {
                while (left-- > 0)
                    square = square << 8 | bytes[32 * k + i + left];
            }
            swapped = (square ^ (square >> 7)) & 0x00aa00aa00aa00aau;
            square ^= swapped ^ (swapped << 7);
            swapped = (square ^ (square >> 14)) & 0x0000cccc0000ccccu;
            square ^= swapped ^ (swapped << 14);
            swapped = (square ^ (square >> 28)) & 0x00000000f0f0f0f0u;
            square ^= swapped ^ (swapped << 28);
            for (b = 0; b < planes; b++)
                y[b * words + k] |= (uint32_t)((square >> (8 * (8 - planes + b))) & 0xffu) << i;
        }
    }
}
