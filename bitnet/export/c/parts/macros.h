/* What a compiler's target may change, with -D or before this header is included: NET_FLASH, where
   constants are (PROGMEM on AVR); NET_ALIGN, how they are aligned; NET_READ8 to NET_READF, how
   they are read; NET_POPCOUNT, whether the target counts the ones of a word with an instruction;
   NET_FIRST, how products of pixels are computed: 1 by bit planes, 2 by sums of four pixels in
   tables, 3 by one pixel after the other. With NET_SEEN, the state has a pointer `seen`, and the
   integers of all products are stored. */
#if defined(__AVR__) && !defined(NET_FLASH)
#include <avr/pgmspace.h>
#define NET_FLASH PROGMEM
#define NET_READ8(at) pgm_read_byte(at)
#define NET_READ16(at) ((int16_t)pgm_read_word(at))
#define NET_READ32(at) pgm_read_dword(at)
#define NET_READ32S(at) ((int32_t)pgm_read_dword(at))
#define NET_READF(at) pgm_read_float(at)
#endif
#ifndef NET_FLASH
#define NET_FLASH
#endif
#ifndef NET_ALIGN
#define NET_ALIGN
#endif
#ifndef NET_READ32
#define NET_READ8(at) (*(at))
#define NET_READ16(at) (*(at))
#define NET_READ32(at) (*(at))
#define NET_READ32S(at) (*(at))
#define NET_READF(at) (*(at))
#endif
#ifndef NET_POPCOUNT
#if defined(__POPCNT__) || defined(__aarch64__) || defined(__riscv_zbb) || defined(__wasm__)
#define NET_POPCOUNT 1
#else
#define NET_POPCOUNT 0
#endif
#endif
#ifndef NET_FIRST
#define NET_FIRST (USUAL)
#endif
#ifdef NET_SEEN
#define NET_SEES , const int32_t *seen_base, int32_t *seen
#define NET_SEE(base, seen) , base, seen
#define NET_SAW(v) seen[j] = seen_base[2 * j] + seen_base[2 * j + 1] * (v);
#else
#define NET_SEES
#define NET_SEE(base, seen)
#define NET_SAW(v)
#endif
/* Each multiplication and each addition of floats is rounded, as in Python. */
#ifdef __FAST_MATH__
#error "this header needs a compilation without -ffast-math"
#endif
#ifdef __clang__
#define NET_EXACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define NET_EXACT
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
