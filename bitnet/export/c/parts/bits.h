/* The number of ones in a word. */
static inline uint32_t net_ones(uint32_t word)
{
#if NET_POPCOUNT
    return (uint32_t)__builtin_popcount(word);
#else
    word -= (word >> 1) & 0x55555555u;
    word = (word & 0x33333333u) + ((word >> 2) & 0x33333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0fu;
    word += word >> 8;
    return (word + (word >> 16)) & 0x3fu;
#endif
}
