// The C library's mathematics for programs without one. All of it is computed in double and in few forms: series
// after a reduction of the argument. Functions of floats round the double once; those of doubles are right to a few
// units in the last place, pow to one part in 2^43, sine and cosine up to arguments of a million.
#include <stdint.h>

typedef union {
  double value;
  uint64_t bits;
} pattern;

double sqrt(double x);

static const double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;  // as in fdlibm
static const double kPi2[] = {1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21};
static const double kHalfPi = 1.57079632679489661923;

static double infinity(void) {
  pattern p = {.bits = 0x7ffull << 52};
  return p.value;
}

static double nan_value(void) {
  pattern p = {.bits = 0x7ff8ull << 48};
  return p.value;
}

double fabs(double x) {
  pattern p = {x};
  p.bits &= ~(1ull << 63);
  return p.value;
}

double copysign(double x, double sign) {
  pattern p = {fabs(x)}, s = {sign};
  p.bits |= s.bits & (1ull << 63);
  return p.value;
}

static double power_of_two(int exponent) {  // -1022 to 1023
  pattern p = {.bits = (uint64_t)(exponent + 1023) << 52};
  return p.value;
}

double ldexp(double x, int exponent) {
  for (; exponent > 1000 && x != 0.0 && fabs(x) != infinity(); exponent -= 1000) x *= power_of_two(1000);
  if (exponent > 1000) return x;
  for (; exponent < -900 && x != 0.0; exponent += 900) x *= power_of_two(-900);  // only the last product rounds
  return exponent < -900 ? x : x * power_of_two(exponent);
}

static double horner(const double* coefficients, int count, double x) {
  double sum = coefficients[count - 1];
  for (int i = count - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

double nearbyint(double x) {  // the rounding of an addition, which is to even
  if (!(fabs(x) < 4503599627370496.0)) return x;
  return copysign((fabs(x) + 4503599627370496.0) - 4503599627370496.0, x);
}

double rint(double x) { return nearbyint(x); }

double floor(double x) {
  double near = nearbyint(x);
  return near > x ? copysign(near - 1.0, x) : near;
}

double ceil(double x) {
  double near = nearbyint(x);
  return copysign(near < x ? near + 1.0 : near, x);
}

double trunc(double x) { return copysign(floor(fabs(x)), x); }

double round(double x) {
  double down = floor(fabs(x));
  return copysign(fabs(x) - down >= 0.5 ? down + 1.0 : down, x);
}

double fmod(double x, double y) {
  pattern px = {fabs(x)}, py = {fabs(y)};
  if (y == 0.0 || x != x || y != y || px.value == infinity()) return nan_value();
  if (px.value < py.value) return x;
  double rest = px.value;
  while (rest >= py.value) {  // y times a power of two, at most rest: subtracted without an error
    pattern p = {rest}, scaled = {py.value};
    int shift = (int)(p.bits >> 52) - (int)(scaled.bits >> 52);
    double part = shift > 0 ? ldexp(py.value, shift) : py.value;
    if (part > rest) part *= 0.5;
    rest -= part;
  }
  return copysign(rest, x);
}

double exp(double x) {
  static const double series[] = {
      1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
      1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
  if (x != x) return x;
  if (x > 710.0) return infinity();
  if (x < -746.0) return 0.0;
  double steps = nearbyint(x * 1.44269504088896340736);
  double rest = (x - steps * kLn2High) - steps * kLn2Low;
  return ldexp(horner(series, 14, rest), (int)steps);
}

double log(double x) {
  static const double series[] = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9, 1.0 / 11,
                                  1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  if (x != x || x < 0.0) return nan_value();
  if (x == 0.0) return -infinity();
  if (x == infinity()) return x;
  pattern p = {x};
  int exponent = 0;
  if (p.bits >> 52 == 0) p.value *= 18014398509481984.0, exponent = -54;
  exponent += (int)(p.bits >> 52) - 1023;
  p.bits = (p.bits & 0xfffffffffffffull) | (1023ull << 52);
  if (p.value > 1.41421356237309504880) p.value *= 0.5, ++exponent;
  double s = (p.value - 1.0) / (p.value + 1.0);
  return exponent * kLn2High + (2.0 * s * horner(series, 11, s * s) + exponent * kLn2Low);
}

double exp2(double x) {
  if (!(fabs(x) < 1100.0)) return x > 0.0 ? infinity() : x < 0.0 ? 0.0 : x;
  double steps = nearbyint(x);
  return ldexp(exp((x - steps) * 0.69314718055994530942), (int)steps);
}
double exp10(double x) { return exp(x * 2.30258509299404568402); }
double log2(double x) { return log(x) * 1.44269504088896340736; }
double log10(double x) { return log(x) * 0.43429448190325182765; }

double log1p(double x) {
  double sum = 1.0 + x;
  return sum == 1.0 || x == infinity() ? x : log(sum) * (x / (sum - 1.0));  // W. Kahan's correction
}

double expm1(double x) {
  double grown = exp(x);
  if (grown == 1.0) return x;
  if (grown - 1.0 == -1.0 || grown == infinity()) return grown - 1.0;
  return (grown - 1.0) * (x / log(grown));
}

double pow(double x, double y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  if (x != x || y != y) return nan_value();
  int whole = nearbyint(y) == y, odd = whole && fabs(y) < 9007199254740992.0 && fmod(fabs(y), 2.0) == 1.0;
  double size = fabs(x), sign = odd && copysign(1.0, x) < 0.0 ? -1.0 : 1.0;
  if (size == 0.0) return sign * (y < 0.0 ? infinity() : 0.0);
  if (fabs(y) == infinity()) return size == 1.0 ? 1.0 : (size > 1.0) == (y > 0.0) ? infinity() : 0.0;
  if (size == infinity()) return sign * (y > 0.0 ? infinity() : 0.0);
  if (x < 0.0 && !whole) return nan_value();
  if (whole && fabs(y) <= 64.0) {
    double product = 1.0;
    for (int i = (int)fabs(y); i > 0; i >>= 1, size *= size)
      if (i & 1) product *= size;
    return sign * (y < 0.0 ? 1.0 / product : product);
  }
  return sign * exp(y * log(size));
}

double tanh(double x) {
  double size = fabs(x);
  if (size > 20.0) return copysign(1.0, x);
  double less = expm1(2.0 * size);
  return x != x ? x : copysign(less / (less + 2.0), x);
}

double sinh(double x) {
  double size = fabs(x);
  if (size > 700.0) return copysign(exp(size * 0.5) * (exp(size * 0.5) * 0.5), x);
  double less = expm1(size);
  return copysign(0.5 * (less + less / (less + 1.0)), x);
}

double cosh(double x) {
  double size = fabs(x), half = exp(size * 0.5);
  return size > 700.0 ? half * (half * 0.5) : 0.5 * (exp(size) + 1.0 / exp(size));
}

double asinh(double x) {
  double size = fabs(x);
  double found =
      size > 1e8 ? log(size) + 0.69314718055994530942 : log1p(size + size * size / (1.0 + sqrt(size * size + 1.0)));
  return copysign(found, x);
}

double acosh(double x) {
  return x > 1e8 ? log(x) + 0.69314718055994530942 : log1p((x - 1.0) + sqrt((x - 1.0) * (x + 1.0)));
}
double atanh(double x) { return copysign(0.5 * log1p(2.0 * fabs(x) / (1.0 - fabs(x))), x); }

// Subtracts the nearest multiple of pi / 2, in three parts, and returns its number modulo 4.
static int quarter(double* x) {
  if (fabs(*x) > 1e6) *x = fmod(*x, 4.0 * kHalfPi);
  double steps = nearbyint(*x * 0.63661977236758134308);
  *x = ((*x - steps * kPi2[0]) - steps * kPi2[1]) - steps * kPi2[2];
  return (int)steps & 3;
}

static double sine(double x) {  // at most pi / 4
  static const double series[] = {1.0,
                                  -1.0 / 6,
                                  1.0 / 120,
                                  -1.0 / 5040,
                                  1.0 / 362880,
                                  -1.0 / 39916800,
                                  1.0 / 6227020800.0,
                                  -1.0 / 1307674368000.0,
                                  1.0 / 355687428096000.0};
  return x * horner(series, 9, x * x);
}

static double cosine(double x) {
  static const double series[] = {1.0,
                                  -1.0 / 2,
                                  1.0 / 24,
                                  -1.0 / 720,
                                  1.0 / 40320,
                                  -1.0 / 3628800,
                                  1.0 / 479001600,
                                  -1.0 / 87178291200.0,
                                  1.0 / 20922789888000.0};
  return horner(series, 9, x * x);
}

static double turned(double x, int quarters) {
  if (x != x || fabs(x) == infinity()) return nan_value();
  quarters += quarter(&x);
  double found = quarters & 1 ? cosine(x) : sine(x);
  return quarters & 2 ? -found : found;
}

double sin(double x) { return x == 0.0 ? x : turned(x, 0); }
double cos(double x) { return turned(x, 1); }
double tan(double x) { return sin(x) / cos(x); }

double atan(double x) {
  static const double series[] = {1.0,       -1.0 / 3, 1.0 / 5,   -1.0 / 7, 1.0 / 9,   -1.0 / 11, 1.0 / 13,
                                  -1.0 / 15, 1.0 / 17, -1.0 / 19, 1.0 / 21, -1.0 / 23, 1.0 / 25};
  if (x != x || x == 0.0) return x;
  double size = fabs(x), base = 0.0, sign = 1.0;
  if (size > 1.0) size = 1.0 / size, base = kHalfPi, sign = -1.0;
  if (size > 0.7)
    base += sign * 0.78539816339744830962, size = (size - 1.0) / (size + 1.0);
  else if (size > 0.25)
    base += sign * 0.46364760900080611621, size = (size - 0.5) / (1.0 + 0.5 * size);
  return copysign(base + sign * (size * horner(series, 13, size * size)), x);
}

double atan2(double y, double x) {
  if (x != x || y != y) return nan_value();
  double half = copysign(kHalfPi, y), straight = copysign(2.0 * kHalfPi, y);
  if (fabs(x) == infinity() && fabs(y) == infinity()) return x > 0.0 ? 0.5 * half : 1.5 * half;
  if (y == 0.0) return copysign(1.0, x) > 0.0 ? y : straight;
  if (x == 0.0 || fabs(y) == infinity()) return half;
  return x > 0.0 ? atan(y / x) : atan(y / x) + straight;
}

double asin(double x) { return fabs(x) > 1.0 ? nan_value() : atan2(x, sqrt((1.0 - x) * (1.0 + x))); }
double acos(double x) { return fabs(x) > 1.0 ? nan_value() : atan2(sqrt((1.0 - x) * (1.0 + x)), x); }

double hypot(double x, double y) {
  double large = fabs(x) > fabs(y) ? fabs(x) : fabs(y), small = fabs(x) > fabs(y) ? fabs(y) : fabs(x);
  if (fabs(x) == infinity() || fabs(y) == infinity()) return infinity();
  return large == 0.0 ? 0.0 : large * sqrt(1.0 + (small / large) * (small / large));
}

// erfc(x) = exp(-x^2) t p(t) with t = 2 / (2 + x). The Chebyshev coefficients of p were computed with 40 digits.
static const double kErfc[] = {
    1.15406747723293938,     0.355436921270498487,     0.0650951588287865246,    0.00367114239583663917,
    -0.0011128447433526325,  -0.000160758299153780798, 3.27803157417313706e-5,   5.44244164550501603e-6,
    -1.51546655531714816e-6, -1.42976081811698649e-7,  8.23460882741949343e-8,   -1.29628468523065625e-9,
    -4.1547216310151983e-9,  6.34705827836281118e-10,  1.43208227122562237e-10,  -6.16039010520458554e-11,
    2.06121385547216963e-12, 3.57149314884770445e-12,  -8.58642284325179648e-13, -6.14560021379063055e-14,
    7.41872574859661706e-14, -1.28950427550323256e-14, -2.35872638571063236e-15, 1.57293493816859114e-15};

double erfc(double x) {
  double size = fabs(x), t = 2.0 / (2.0 + size), twice = 4.0 * t - 2.0, next = 0.0, after = 0.0;
  for (int i = 23; i > 0; --i) {
    double now = twice * next - after + kErfc[i];
    after = next, next = now;
  }
  double square = nearbyint(size * 1024.0) / 1024.0;  // its square is exact
  double power = exp(-square * square) * exp((square - size) * (square + size));
  double found = size > 27.0 ? 0.0 : t * (0.5 * twice * next - after + 0.5 * kErfc[0]) * power;
  return x != x ? x : x < 0.0 ? 2.0 - found : found;
}

double erf(double x) {
  static const double series[] = {1.0,          -1.0 / 3,       1.0 / 10,       -1.0 / 42,
                                  1.0 / 216,    -1.0 / 1320,    1.0 / 9360,     -1.0 / 75600,
                                  1.0 / 685440, -1.0 / 6894720, 1.0 / 76204800, -1.0 / 918086400};
  if (fabs(x) < 0.5) return 1.12837916709551257390 * x * horner(series, 12, x * x);
  return copysign(1.0 - erfc(fabs(x)), x);
}

float fabsf(float x);

// In floats alone, since it is in the inner loops of softmax and sigmoid: the processor multiplies and adds in one.
float expf(float x) {
  static const float series[] = {1.0f / 40320, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f};
  if (x != x) return x;
  if (x > 89.0f) return (float)infinity();
  if (x < -104.0f) return 0.0f;
  float shifted = __builtin_fmaf(x, 1.44269504f, 12582912.0f), steps = shifted - 12582912.0f;  // rounded
  float rest = __builtin_fmaf(steps, -0.693359375f, x);
  float low = steps * 2.12194440e-4f, exact = rest + low, sum = series[0];
  float lost = low - (exact - rest);
  for (int i = 1; i < 7; ++i) sum = __builtin_fmaf(sum, exact, series[i]);
  float grown = 1.0f + (exact + __builtin_fmaf(sum, exact * exact, lost));
  int exponent = (int)steps;
  union {
    uint32_t bits;
    float value;
  } scale = {(uint32_t)(exponent / 2 + 127) << 23}, other = {(uint32_t)(exponent - exponent / 2 + 127) << 23};
  return grown * scale.value * other.value;
}

float erff(float x) {
  static const float series[] = {1.0f / 9360, -1.0f / 1320, 1.0f / 216, -1.0f / 42, 1.0f / 10, -1.0f / 3, 1.0f};
  static const float chebyshev[] = {8.2346e-8f,    -1.4297608e-7f, -1.5154666e-6f, 5.442442e-6f,
                                    3.2780316e-5f, -1.607583e-4f,  -1.1128447e-3f, 3.6711424e-3f,
                                    6.509516e-2f,  0.35543692f};  // erfc's
  float size = fabsf(x), square = x * x, sum = series[0];
  if (size < 0.5f) {
    for (int i = 1; i < 7; ++i) sum = __builtin_fmaf(sum, square, series[i]);
    return 1.1283792f * x * sum;
  }
  if (!(size < 4.0f)) return x != x ? x : x > 0.0f ? 1.0f : -1.0f;
  float t = 2.0f / (2.0f + size), twice = 4.0f * t - 2.0f, next = 0.0f, after = 0.0f;
  for (int i = 0; i < 10; ++i) {
    float now = __builtin_fmaf(twice, next, chebyshev[i] - after);
    after = next, next = now;
  }
  float rest = t * (0.5f * twice * next - after + 0.57703374f) * expf(-square);
  return x > 0.0f ? 1.0f - rest : rest - 1.0f;
}

float ldexpf(float x, int exponent) { return (float)ldexp(x, exponent); }
float fmaxf(float x, float y) { return x != x || y > x ? y : x; }
float fminf(float x, float y) { return x != x || y < x ? y : x; }
double fmax(double x, double y) { return x != x || y > x ? y : x; }
double fmin(double x, double y) { return x != x || y < x ? y : x; }

#define OF_FLOAT(name) \
  float name##f(float x) { return (float)name(x); }
#define OF_FLOATS(name) \
  float name##f(float x, float y) { return (float)name(x, y); }

// clang-format off
OF_FLOAT(fabs) OF_FLOAT(nearbyint) OF_FLOAT(rint) OF_FLOAT(floor) OF_FLOAT(ceil) OF_FLOAT(trunc) OF_FLOAT(round)
OF_FLOAT(exp2) OF_FLOAT(exp10) OF_FLOAT(log) OF_FLOAT(log2) OF_FLOAT(log10) OF_FLOAT(log1p) OF_FLOAT(expm1)
OF_FLOAT(tanh) OF_FLOAT(sinh) OF_FLOAT(cosh) OF_FLOAT(asinh) OF_FLOAT(acosh) OF_FLOAT(atanh) OF_FLOAT(sin)
OF_FLOAT(cos) OF_FLOAT(tan) OF_FLOAT(atan) OF_FLOAT(asin) OF_FLOAT(acos) OF_FLOAT(erfc) OF_FLOATS(pow) OF_FLOATS(fmod)
OF_FLOATS(atan2) OF_FLOATS(hypot) OF_FLOATS(copysign)
    // clang-format on
