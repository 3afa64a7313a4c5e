#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#endif /* NET_H */
