//! Laws of exact sums, with `num_rational::BigRational` and Rust's own float parser as oracles.

#![allow(
    clippy::float_cmp,
    reason = "tests of exactness: equal means equal to the last bit"
)]

use bincode::config;
use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{Signed as _, ToPrimitive as _};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn oracle(value: &Exact) -> BigRational {
    let parts = value.parts();
    BigRational::new(parts.numerator.into_owned(), denominator(parts.twos, parts.fives))
}

/// The other way, for results: lowest terms again.
fn from_oracle(value: &BigRational) -> Exact {
    let (mut rest, mut twos, mut fives) = (value.denom().clone(), 0, 0);
    while (&rest % 2_u32).is_zero() {
        rest /= 2_u32;
        twos += 1;
    }
    while (&rest % 5_u32).is_zero() {
        rest /= 5_u32;
        fives += 1;
    }
    assert_eq!(rest, BigInt::from(1), "denominator has another prime");
    Exact::from_scaled(value.numer(), -twos, -fives).unwrap()
}

fn decimal(text: &str) -> Exact {
    Exact::from_decimal(text.as_bytes()).unwrap()
}

fn bytes_of(value: &Exact) -> Vec<u8> {
    bincode::encode_to_vec(value, config::standard()).unwrap()
}

fn decoded(bytes: &[u8]) -> Option<Exact> {
    let decode = bincode::decode_from_slice::<Exact, _>;
    decode(bytes, config::standard())
        .ok()
        .filter(|(_, read)| *read == bytes.len())
        .map(|(value, _)| value)
}

/// Small counters, the ends of the integer types, doubles, decimals, and wide values of all kinds.
fn values() -> impl Strategy<Value = Exact> {
    let edges = prop::sample::select(vec![i128::MIN, i128::MIN + 1, -1, 0, 1, i128::MAX - 1, i128::MAX]);
    prop_oneof![
        (-20_i64..20).prop_map(Exact::from_i64),
        any::<i64>().prop_map(Exact::from_i64),
        (edges, -2_i128..=2)
            .prop_map(|(edge, by)| Exact::from_scaled(&(BigInt::from(edge) + by), 0, 0).unwrap()),
        prop::num::f64::NORMAL.prop_map(|value| Exact::from_f64(value).unwrap()),
        any::<f64>().prop_filter_map("finite", |value| Exact::from_f64(value).ok()),
        (any::<i64>(), 0_i64..30).prop_map(|(digits, places)| {
            Exact::from_scaled(&BigInt::from(digits), -places, -places).unwrap()
        }),
        (any::<bool>(), vec(any::<u8>(), 0..40), -120_i64..120, -40_i64..40).prop_map(
            |(minus, bytes, twos, fives)| {
                let sign = if minus { Sign::Minus } else { Sign::Plus };
                Exact::from_scaled(&BigInt::from_bytes_le(sign, &bytes), twos, fives).unwrap()
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn sums_and_differences_are_those_of_rationals(a in values(), b in values()) {
        prop_assert_eq!(&a + &b, from_oracle(&(oracle(&a) + oracle(&b))));
        prop_assert_eq!(&a - &b, from_oracle(&(oracle(&a) - oracle(&b))));
        prop_assert_eq!(-&a, from_oracle(&-oracle(&a)));
        prop_assert_eq!(a.is_integer(), oracle(&a).is_integer());
        prop_assert_eq!(i32::from(a.signum()), oracle(&a).signum().to_i32().unwrap());
        prop_assert_eq!(a.is_zero(), a.signum() == 0);
    }

    #[test]
    fn addition_is_a_commutative_group(a in values(), b in values(), c in values()) {
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
        prop_assert_eq!(&a + &Exact::zero(), a.clone());
        prop_assert_eq!(&a - &a, Exact::zero());
        prop_assert_eq!(&(&a + &b) - &b, a.clone());
        prop_assert_eq!(-&-&a, a.clone());
        let mut sum = a.clone();
        sum += &b;
        sum -= &c;
        prop_assert_eq!(sum, [a, b, -c].iter().sum::<Exact>());
    }

    #[test]
    fn order_is_that_of_rationals(a in values(), b in values()) {
        prop_assert_eq!(a.cmp(&b), oracle(&a).cmp(&oracle(&b)));
        prop_assert_eq!(a == b, oracle(&a) == oracle(&b));
        prop_assert_eq!(a < b, (&b - &a).signum() > 0);
    }

    #[test]
    fn codecs_round_trip_and_bytes_are_equal_exactly_when_values_are(a in values(), b in values()) {
        prop_assert_eq!(decoded(&bytes_of(&a)), Some(a.clone()));
        let fixed = bincode::encode_to_vec(&a, config::legacy()).unwrap();
        let (again, _) = bincode::borrow_decode_from_slice::<Exact, _>(&fixed, config::legacy()).unwrap();
        prop_assert_eq!(&again, &a);
        // The same value reached by another way.
        let other_way = &(&a + &b) - &b;
        prop_assert_eq!(other_way.canonical_bytes(), a.canonical_bytes());
        prop_assert_eq!(a.canonical_bytes() == b.canonical_bytes(), a == b);
    }

    #[test]
    fn whatever_bytes_decode_are_the_bytes_that_the_value_encodes_to(
        tag in 0_u8..4, twos in 0_u8..5, fives in 0_u8..5, magnitude in vec(any::<u8>(), 0..20)
    ) {
        let mut bytes = vec![tag, twos, fives, u8::try_from(magnitude.len()).unwrap()];
        bytes.extend(magnitude);
        // Integers may come in a longer varint than needed: then the value is still the one meant, and only the wide form is strict.
        if let Some(value) = decoded(&bytes).filter(|_| tag > 0) {
            prop_assert_eq!(bytes_of(&value), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
        let _ = decoded(&bytes);
        let _ = Exact::from_decimal(&bytes);
    }

    #[test]
    fn nearest_double_is_the_one_that_rust_reads_from_the_exact_text(a in values()) {
        let text = a.to_string();
        prop_assert_eq!(a.to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
    }

    #[test]
    fn doubles_survive(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        match Exact::from_f64(value) {
            Ok(exact) => prop_assert_eq!(exact.to_f64(), value),
            Err(error) => {
                prop_assert_eq!(error, ExactError::NotFinite);
                prop_assert!(!value.is_finite());
            }
        }
    }

    #[test]
    fn ties_between_doubles_go_to_the_even_one(bits in 0_u64..0x7fef_ffff_ffff_ffff) {
        let (low, high) = (f64::from_bits(bits), f64::from_bits(bits + 1));
        let twice = &Exact::from_f64(low).unwrap() + &Exact::from_f64(high).unwrap();
        let middle = from_oracle(&(oracle(&twice) / BigInt::from(2)));
        let even = if bits % 2 == 0 { low } else { high };
        prop_assert_eq!(middle.to_f64(), even);
        let crumb = Exact::from_scaled(&BigInt::from(1), -3000, 0).unwrap();
        prop_assert_eq!((&middle + &crumb).to_f64(), high);
        prop_assert_eq!((&middle - &crumb).to_f64(), low);
        prop_assert_eq!((-middle).to_f64(), -even);
    }

    #[test]
    fn decimal_text_is_read_exactly(
        minus in any::<bool>(), whole in "[0-9]{0,30}", fraction in "[0-9]{1,30}", exponent in -40_i32..40
    ) {
        let sign = if minus { "-" } else { "" };
        let digits: BigInt = format!("{sign}{whole}{fraction}").parse().unwrap();
        let power = exponent - i32::try_from(fraction.len()).unwrap();
        let expected = BigRational::from(digits) * BigRational::from(BigInt::from(10)).pow(power);
        prop_assert_eq!(oracle(&decimal(&format!("{sign}{whole}.{fraction}e{exponent}"))), expected);
    }

    #[test]
    fn exact_text_reads_back(a in values()) {
        let text = a.to_string();
        prop_assert_eq!(&decimal(&text), &a);
        prop_assert!(!text.contains(['e', '+']) && text != "-0");
        prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']));
    }

    #[test]
    fn plain_text_is_the_nearest_with_that_many_places(a in values(), places in 0_u32..20) {
        let shown = decimal(&a.to_plain(places));
        let ten = BigRational::from(BigInt::from(10)).pow(i32::try_from(places).unwrap());
        let (shown, exact) = (oracle(&shown) * &ten, oracle(&a) * &ten);
        prop_assert!(shown.is_integer());
        let half = BigRational::new(1.into(), 2.into());
        let off = (&shown - &exact).abs();
        prop_assert!(off < half || off == half && (shown.to_integer() % 2_u32).is_zero());
    }

    #[test]
    fn integer_part_is_cut_towards_zero_and_saturates(a in values()) {
        let whole = oracle(&a).to_integer();
        let expected = match whole.to_i64() {
            Some(value) => (value, false),
            None if whole.is_negative() => (i64::MIN, true),
            None => (i64::MAX, true),
        };
        prop_assert_eq!(a.to_i64_saturating(), expected);
        let (low, high) = (BigRational::from(BigInt::from(i64::MIN)), BigRational::from(BigInt::from(i64::MAX)));
        prop_assert_eq!(a.is_in_i64_range(), low <= oracle(&a) && oracle(&a) <= high);
    }
}

#[test]
fn tenths_add_up_to_a_whole() {
    let sum: Exact = (0..10).map(|_| decimal("0.1")).sum();
    assert_eq!(sum, Exact::from_i64(1));
    assert_eq!((&decimal("0.1") + &decimal("0.2")).to_string(), "0.3");
    assert_eq!((0.1_f64 + 0.2).to_string(), "0.30000000000000004");
}

#[test]
fn edges_of_doubles() {
    for (text, expected) in [
        ("5e-324", 5e-324),
        ("2.4703282292062327e-324", 0.0), // just below half the smallest
        ("2.4703282292062329e-324", 5e-324),
        ("2.2250738585072011e-308", f64::MIN_POSITIVE.next_down()),
        ("1.7976931348623157e308", f64::MAX),
        ("1.7976931348623158e308", f64::MAX),
        ("1.7976931348623159e308", f64::INFINITY),
        ("1e4999", f64::INFINITY),
        ("-1e4999", f64::NEG_INFINITY),
        ("1e-4999", 0.0),
    ] {
        assert_eq!(decimal(text).to_f64(), expected, "{text}");
    }
    // 2^1024 - 2^970 is the tie between the largest double and what would be next: it goes to infinity.
    let tie = &Exact::from_scaled(&BigInt::from(1), 1024, 0).unwrap()
        - &Exact::from_scaled(&BigInt::from(1), 970, 0).unwrap();
    assert_eq!(tie.to_f64(), f64::INFINITY);
    assert_eq!((&tie - &Exact::from_i64(1)).to_f64(), f64::MAX);
}

#[test]
fn the_ends_of_the_integer_representation() {
    let past = &Exact(Repr::Int(i128::MAX)) + &Exact::from_i64(1);
    assert!(matches!(past.0, Repr::Wide(_)));
    assert_eq!(-past.clone(), Exact(Repr::Int(i128::MIN)));
    assert_eq!(-Exact(Repr::Int(i128::MIN)), past);
    assert_eq!(&past - &Exact::from_i64(1), Exact(Repr::Int(i128::MAX)));
    assert!(past.is_integer() && past.to_i64_saturating() == (i64::MAX, true));
}

#[test]
fn small_counters_are_two_bytes_and_the_stored_form_does_not_change() {
    assert_eq!(bytes_of(&Exact::from_i64(3)), [0, 6]);
    assert_eq!(bytes_of(&Exact::from_i64(-3)), [0, 5]);
    assert_eq!(bytes_of(&decimal("0.1")), [1, 1, 1, 1, 1]);
    assert_eq!(bytes_of(&decimal("-1.5")), [2, 1, 0, 1, 3]);
    assert_eq!(
        decimal("-1.5").canonical_bytes(),
        [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    );
    assert_eq!(Exact::from_i64(-2).canonical_bytes()[..3], [0, 254, 255]);
}

#[test]
fn only_the_one_normal_form_decodes() {
    for (bytes, why) in [
        (&[1, 1, 0, 1, 2][..], "2/2"),
        (&[1, 0, 1, 1, 5], "5/5"),
        (&[1, 0, 0, 1, 7], "an integer that fits"),
        (&[1, 1, 0, 2, 3, 0], "a padded numerator"),
        (&[1, 1, 1, 0], "zero"),
        (&[3, 0], "an unknown tag"),
        (&[1, 1, 1, 2, 1], "a cut-off numerator"),
    ] {
        assert_eq!(decoded(bytes), None, "{why}");
    }
    assert_eq!(decoded(&[1, 1, 0, 1, 3]), Some(decimal("1.5")));
}

/// A wide form with the given powers and length of the numerator, which is `1` in its lowest and highest byte.
fn crafted(twos: u32, fives: u32, length: usize) -> Vec<u8> {
    let mut numerator = vec![0_u8; length];
    for at in [0, length - 1] {
        numerator[at] = 1;
    }
    let header = (WIDE, twos, fives, u32::try_from(length).unwrap());
    let mut bytes = bincode::encode_to_vec(header, config::standard()).unwrap();
    bytes.extend(numerator);
    bytes
}

const WIDE: u8 = 1;

#[test]
fn bounds_hold_at_the_limit_and_one_past_it() {
    assert!(decoded(&crafted(TWOS_MAX, 0, 4)).is_some());
    assert!(decoded(&crafted(TWOS_MAX + 1, 0, 4)).is_none());
    assert!(decoded(&crafted(0, FIVES_MAX, 4)).is_some());
    assert!(decoded(&crafted(0, FIVES_MAX + 1, 4)).is_none());
    assert!(decoded(&crafted(1, 0, NUMERATOR_BYTES_MAX)).is_some());
    assert!(decoded(&crafted(1, 0, NUMERATOR_BYTES_MAX + 1)).is_none());
    // A length that is only claimed is refused before anything is allocated.
    let lie = bincode::encode_to_vec((WIDE, 1_u32, 0_u32, u32::MAX), config::standard()).unwrap();
    assert_eq!(decoded(&lie), None);

    let one = BigInt::from(1);
    assert!(Exact::from_scaled(&one, -i64::from(TWOS_MAX), 0).is_ok());
    for (twos, fives) in [
        (-i64::from(TWOS_MAX) - 1, 0),
        (0, -i64::from(FIVES_MAX) - 1),
        (i64::MIN, i64::MIN),
        (i64::MAX, 0),
    ] {
        assert_eq!(
            Exact::from_scaled(&one, twos, fives),
            Err(ExactError::OutOfBounds)
        );
        assert_eq!(Exact::from_scaled(&BigInt::ZERO, twos, fives), Ok(Exact::zero()));
    }
    let bits = i64::try_from(MAGNITUDE_BITS_MAX).unwrap();
    assert!(Exact::from_scaled(&one, bits - 2, 0).is_ok());
    assert_eq!(Exact::from_scaled(&one, bits, 0), Err(ExactError::OutOfBounds));
}

#[test]
fn the_widest_sum_of_accepted_values_still_encodes() {
    let largest = decimal(&format!("{}e5000", "9".repeat(5_995)));
    let deepest = decimal(&format!(".{}e-5000", "3".repeat(5_993)));
    let hexadecimal = Exact::from_scaled(&BigInt::from(1), -i64::from(TWOS_MAX), 0).unwrap();
    let many = [&largest, &largest, &deepest, &deepest, &hexadecimal]
        .into_iter()
        .sum::<Exact>();
    assert_eq!(decoded(&bytes_of(&many)), Some(many.clone()));
    assert_eq!(
        &(&many - &largest) - &largest,
        &(&deepest + &deepest) + &hexadecimal
    );
}

#[test]
fn text_that_is_no_decimal_or_too_long_is_refused() {
    for text in [
        "", "-", ".", "e5", "1e", "1e+", "+-1", "1 ", " 1", "0x10", "inf", "nan", "1_0", "1..2", "1.2.3",
        "1e5.0", "--1", "1\0",
    ] {
        assert_eq!(
            Exact::from_decimal(text.as_bytes()),
            Err(ExactError::NotDecimal),
            "{text:?}"
        );
    }
    for text in ["1e5001", "1e-5001", "0e5001", "1e99999999999999999999999"] {
        assert_eq!(
            Exact::from_decimal(text.as_bytes()),
            Err(ExactError::OutOfBounds),
            "{text}"
        );
    }
    assert!(Exact::from_decimal(&[b'1'; DECIMAL_TEXT_BYTES_MAX]).is_ok());
    assert_eq!(
        Exact::from_decimal(&[b'1'; DECIMAL_TEXT_BYTES_MAX + 1]),
        Err(ExactError::OutOfBounds)
    );
    for (text, same) in [
        ("+5", "5"),
        ("5.", "5"),
        (".5", "0.5"),
        ("-0.0e10", "0"),
        ("1E+2", "100"),
        ("007", "7"),
    ] {
        assert_eq!(decimal(text), decimal(same));
    }
}
