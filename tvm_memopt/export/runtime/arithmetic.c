// What LLVM calls for arithmetic that Hexagon's processors before v67 have no instructions for: division of integers,
// and product, quotient and root of IEEE doubles, correctly rounded (to nearest, ties to even).
#include <stdint.h>

typedef union {
  double value;
  uint64_t bits;
} pattern;

// value = ± mantissa / 2^63 * 2^exponent, with bit 63 of the mantissa set.
typedef struct {
  uint64_t mantissa;
  int exponent;
} parts;

static const uint64_t kSign = 1ull << 63, kInfinity = 0x7ffull << 52, kQuiet = 0x7ff8ull << 48;

static double from_bits(uint64_t bits) {
  pattern p = {.bits = bits};
  return p.value;
}

static int is_nan(uint64_t magnitude) { return magnitude > kInfinity; }

static parts split(uint64_t magnitude) {  // neither zero nor infinite
  int exponent = (int)(magnitude >> 52);
  uint64_t mantissa = magnitude << 11;
  if (exponent != 0) {
    parts found = {mantissa | kSign, exponent - 1023};
    return found;
  }
  parts found = {mantissa, -1022};
  while (!(found.mantissa & kSign)) found.mantissa <<= 1, --found.exponent;
  return found;
}

// Rounds. The lowest bit of the mantissa also stands for all that follow it.
static double joined(uint64_t sign, parts p) {
  int biased = p.exponent + 1023;
  if (biased >= 2047) return from_bits(sign | kInfinity);
  if (biased <= 0) {
    int shift = 1 - biased;
    uint64_t lost = shift < 64 ? p.mantissa << (64 - shift) : 1;
    p.mantissa = (shift < 64 ? p.mantissa >> shift : 0) | (lost != 0);
  }
  uint64_t kept = p.mantissa >> 11, rest = p.mantissa & 0x7ff;
  kept += rest > 0x400 || (rest == 0x400 && (kept & 1));
  return from_bits(sign | (biased > 0 ? ((uint64_t)(biased - 1) << 52) + kept : kept));
}

static uint64_t high_product(uint64_t a, uint64_t b, uint64_t* low) {
  uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  uint64_t bottom = a0 * b0, left = a1 * b0, right = a0 * b1;
  uint64_t middle = (bottom >> 32) + (uint32_t)left + (uint32_t)right;
  *low = (middle << 32) | (uint32_t)bottom;
  return a1 * b1 + (left >> 32) + (right >> 32) + (middle >> 32);
}

double __hexagon_muldf3(double a, double b) {
  pattern pa = {a}, pb = {b};
  uint64_t sign = (pa.bits ^ pb.bits) & kSign, x = pa.bits & ~kSign, y = pb.bits & ~kSign;
  if (is_nan(x) || is_nan(y)) return from_bits(kQuiet);
  if (x == kInfinity || y == kInfinity) return from_bits(x == 0 || y == 0 ? kQuiet : sign | kInfinity);
  if (x == 0 || y == 0) return from_bits(sign);
  parts left = split(x), right = split(y);
  uint64_t low, high = high_product(left.mantissa, right.mantissa, &low);
  parts product = {high, left.exponent + right.exponent + 1};
  if (!(high & kSign)) product.mantissa = (high << 1) | (low >> 63), --product.exponent, low <<= 1;
  product.mantissa |= low != 0;
  return joined(sign, product);
}

double __hexagon_divdf3(double a, double b) {
  pattern pa = {a}, pb = {b};
  uint64_t sign = (pa.bits ^ pb.bits) & kSign, x = pa.bits & ~kSign, y = pb.bits & ~kSign;
  if (is_nan(x) || is_nan(y) || (x == y && (x == 0 || x == kInfinity))) return from_bits(kQuiet);
  if (x == kInfinity || y == 0) return from_bits(sign | kInfinity);
  if (x == 0 || y == kInfinity) return from_bits(sign);
  parts left = split(x), right = split(y);
  uint64_t rest = left.mantissa >> 1, divisor = right.mantissa >> 1, quotient = 0;  // the lowest bits are zeros
  parts found = {0, left.exponent - right.exponent};
  if (rest < divisor) rest <<= 1, --found.exponent;
  for (int i = 0; i < 64; ++i) {
    quotient <<= 1;
    if (rest >= divisor) rest -= divisor, quotient |= 1;
    rest <<= 1;
  }
  found.mantissa = quotient | (rest != 0);
  return joined(sign, found);
}

double sqrt(double a) {
  pattern p = {a};
  if (p.bits == kSign || p.bits == 0 || p.bits == kInfinity) return a;
  if ((p.bits & kSign) || is_nan(p.bits)) return from_bits(kQuiet);
  parts from = split(p.bits);
  uint64_t digits = from.mantissa >> (from.exponent & 1 ? 0 : 1), root = 0, rest = 0;
  for (int i = 0; i < 56; ++i) {  // 53 bits, and more than enough to round
    rest = (rest << 2) | (digits >> 62), digits <<= 2;
    uint64_t trial = (root << 2) | 1;
    root <<= 1;
    if (rest >= trial) rest -= trial, root |= 1;
  }
  int exponent = from.exponent & 1 ? from.exponent - 1 : from.exponent;
  parts found = {(root << 8) | (rest != 0), exponent / 2};
  return joined(0, found);
}

// A quotient of floats through double is rounded twice, and is still right: 53 bits are more than 2 * 24 + 1.
float __hexagon_divsf3(float a, float b) { return (float)__hexagon_divdf3(a, b); }

float sqrtf(float a) {
  union {
    float value;
    uint32_t bits;
  } p = {a};
  if (p.bits - 0x00800000u >= 0x7f000000u) return (float)sqrt(a);  // zero, negative, tiny, infinite or not a number
  int exponent = (int)(p.bits >> 23) - 127;
  uint32_t digits = ((p.bits << 8) | 0x80000000u) >> (exponent & 1 ? 0 : 1), root = 0, rest = 0;
  for (int i = 0; i < 26; ++i) {  // 24 bits, and more than enough to round
    rest = (rest << 2) | (digits >> 30), digits <<= 2;
    uint32_t trial = (root << 2) | 1;
    root <<= 1;
    if (rest >= trial) rest -= trial, root |= 1;
  }
  uint32_t kept = root >> 2, tail = (root & 3) << 1 | (rest != 0);
  kept += tail > 4 || (tail == 4 && (kept & 1));
  p.bits = ((uint32_t)((exponent & 1 ? exponent - 1 : exponent) / 2 + 126) << 23) + kept;
  return p.value;
}

float __hexagon_sqrtf(float a) { return sqrtf(a); }

static uint64_t divided(uint64_t a, uint64_t b, uint64_t* rest) {
  uint64_t quotient = 0, left = 0;
  if (b == 0) return *rest = a, 0;
  for (int i = a >> 32 ? 63 : 31; i >= 0; --i) {
    uint64_t carry = left >> 63;
    left = (left << 1) | ((a >> i) & 1);
    quotient <<= 1;
    if (carry || left >= b) left -= b, quotient |= 1;
  }
  *rest = left;
  return quotient;
}

static int64_t signed_divided(int64_t a, int64_t b, int64_t* rest) {
  uint64_t left, quotient = divided(a < 0 ? -(uint64_t)a : (uint64_t)a, b < 0 ? -(uint64_t)b : (uint64_t)b, &left);
  *rest = (int64_t)(a < 0 ? -left : left);
  return (int64_t)((a < 0) != (b < 0) ? -quotient : quotient);
}

uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b) {
  uint64_t rest;
  return divided(a, b, &rest);
}

uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b) {
  uint64_t rest;
  divided(a, b, &rest);
  return rest;
}

int64_t __hexagon_divdi3(int64_t a, int64_t b) {
  int64_t rest;
  return signed_divided(a, b, &rest);
}

int64_t __hexagon_moddi3(int64_t a, int64_t b) {
  int64_t rest;
  signed_divided(a, b, &rest);
  return rest;
}

static uint32_t divided32(uint32_t a, uint32_t b, uint32_t* rest) {
  uint32_t quotient = 0;
  if (b == 0) return *rest = a, 0;
  int shift = a >= b ? __builtin_clz(b) - __builtin_clz(a | 1) : -1;
  for (; shift >= 0; --shift)
    if (a >= b << shift) a -= b << shift, quotient |= 1u << shift;
  *rest = a;
  return quotient;
}

uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b) {
  uint32_t rest;
  return divided32(a, b, &rest);
}

uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b) {
  uint32_t rest;
  divided32(a, b, &rest);
  return rest;
}

int32_t __hexagon_divsi3(int32_t a, int32_t b) {
  uint32_t rest, quotient = divided32(a < 0 ? -(uint32_t)a : (uint32_t)a, b < 0 ? -(uint32_t)b : (uint32_t)b, &rest);
  return (int32_t)((a < 0) != (b < 0) ? -quotient : quotient);
}

int32_t __hexagon_modsi3(int32_t a, int32_t b) {
  uint32_t rest;
  divided32(a < 0 ? -(uint32_t)a : (uint32_t)a, b < 0 ? -(uint32_t)b : (uint32_t)b, &rest);
  return (int32_t)(a < 0 ? -rest : rest);
}
