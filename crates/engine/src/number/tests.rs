//! What can be said without a Redis beside; the digits themselves are compared with a real one in `tests/`.

#![allow(
    clippy::float_cmp,
    clippy::excessive_precision,
    reason = "tests of digits: equal means equal to the last bit"
)]

use num_bigint::BigInt;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn exact(text: &str) -> Exact {
    parse_number(text.as_bytes()).unwrap()
}

fn human(text: &str) -> String {
    LongDouble::parse(text.as_bytes()).unwrap().format_human()
}

fn incr(old: Option<&str>, by: &str) -> Result<String, FloatError> {
    incr_by_float(old.map(str::as_bytes), by.as_bytes()).map(|done| done.shown)
}

fn shown(base: Option<&str>, sum: &str) -> (String, bool) {
    let Shown { text, saturated } = show_number(base.map(exact).as_ref(), &exact(sum));
    (String::from_utf8(text).unwrap(), saturated)
}

/// Decimal texts of every size that INCRBYFLOAT takes, the everyday ones most often.
fn decimals() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?[0-9]{1,6}\\.[0-9]{1,3}",
        2 => "-?[0-9]{1,18}",
        2 => "-?0?\\.[0-9]{1,25}",
        2 => "-?[0-9]\\.[0-9]{1,20}e-?[0-9]{1,2}",
        1 => "-?[1-9]e-?[0-9]{1,3}",
        1 => "-?0x[0-9a-f]{1,20}\\.[0-9a-f]{1,5}p-?[0-9]{1,2}",
    ]
}

/// One writer's increments of one number, as a region alone makes them: what was shown last, and the sum of what they count for.
fn run(base: Option<&str>, steps: &[String]) -> (Option<String>, Exact) {
    let (mut last, mut sum) = (base.map(str::to_owned), Exact::zero());
    for by in steps {
        match incr_by_float(last.as_deref().map(str::as_bytes), by.as_bytes()) {
            Ok(done) if done.out_of_range => {}
            Ok(done) => {
                sum += &done.delta;
                last = Some(done.shown);
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    (last, sum)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn one_region_alone_shows_what_redis_replied(base in prop::option::of(decimals()), steps in vec(decimals(), 1..12)) {
        let (mut last, mut sum) = (base.clone(), Exact::zero());
        for by in &steps {
            let done = match incr_by_float(last.as_deref().map(str::as_bytes), by.as_bytes()) {
                Ok(done) => done,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            if done.out_of_range {
                continue;
            }
            sum += &done.delta;
            let merged = show_number(base.as_deref().map(exact).as_ref(), &sum);
            prop_assert_eq!(String::from_utf8(merged.text).unwrap(), done.shown.clone());
            prop_assert!(!merged.saturated);
            last = Some(done.shown);
        }
    }

    #[test]
    fn what_is_shown_is_read_back_and_adding_nothing_keeps_it(
        base in prop::option::of(decimals()), left in vec(decimals(), 0..5), right in vec(decimals(), 0..5)
    ) {
        let sum = &run(base.as_deref(), &left).1 + &run(base.as_deref(), &right).1;
        let merged = show_number(base.as_deref().map(exact).as_ref(), &sum);
        let text = String::from_utf8(merged.text.clone()).unwrap();
        prop_assert!(text.len() <= NUMBER_TEXT_BYTES_MAX && !text.contains(['e', '+']) && text != "-0");
        prop_assert!(parse_number(&merged.text).is_some());
        // A read does not change it: shown again as a base of its own it is the same.
        prop_assert_eq!(show_number(Some(&exact(&text)), &Exact::zero()).text, merged.text);
    }

    #[test]
    fn increments_of_two_regions_add_up_in_any_order(left in vec(decimals(), 0..6), right in vec(decimals(), 0..6)) {
        let (a, b) = (run(None, &left).1, run(None, &right).1);
        prop_assert_eq!(show_number(Some(&a), &b), show_number(Some(&b), &a));
        prop_assert_eq!(show_number(None, &(&a + &b)), show_number(None, &(&b + &a)));
    }

    #[test]
    fn a_long_double_is_the_nearest_and_stays(text in decimals()) {
        let value = LongDouble::parse(text.as_bytes()).unwrap();
        let itself = value.to_exact().unwrap();
        prop_assert_eq!(LongDouble::nearest(&itself), value);
        // 64 bits: off by at most 2^-64 of itself.
        let off = &exact(&text) - &itself;
        let off = if off.signum() < 0 { -off } else { off };
        let size = if itself.signum() < 0 { -itself } else { itself };
        let many = (0..64).fold(off, |sum, _| &sum + &sum);
        prop_assert!(many <= size, "{} is {}", text, value.format_human());
        prop_assert_eq!(value + LongDouble::ZERO, value);
    }

    #[test]
    fn scores_survive_both_forms(bits in any::<u64>(), small in any::<i32>(), places in 0_i32..12) {
        for value in [f64::from_bits(bits), f64::from(small), f64::from(small) / 10_f64.powi(places)] {
            if !value.is_nan() {
                for text in [format_double_17g(value), format_double_shortest(value)] {
                    prop_assert_eq!(parse_double(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{}", text);
                }
            }
        }
    }

    #[test]
    fn hexadecimal_scores_are_exact(bits in any::<u64>(), tail in 0_usize..200) {
        let value = f64::from_bits(bits);
        if value.is_finite() && value != 0.0 {
            let (mantissa, exponent) = match (bits >> 52) & 0x7ff {
                0 => (bits & ((1 << 52) - 1), -1074),
                biased => (bits & ((1 << 52) - 1) | 1 << 52, i64::try_from(biased).unwrap() - 1075),
            };
            let sign = if value < 0.0 { "-" } else { "" };
            let zeros = "0".repeat(tail);
            let read = |text: String| parse_double(text.as_bytes());
            prop_assert_eq!(read(format!("{sign}0x{mantissa:x}.{zeros}p{exponent}")), Some(value));
            // Exactly half a step more goes to the even one, and a digit ever so far behind it decides.
            let half = |last: &str| read(format!("{sign}0x{mantissa:x}.8{zeros}{last}p{exponent}"));
            let up = if value < 0.0 { value.next_down() } else { value.next_up() };
            let in_range = |value: f64| value.is_finite().then_some(value);
            prop_assert_eq!(half(""), in_range(if mantissa % 2 == 0 { value } else { up }));
            prop_assert_eq!(half("1"), in_range(up));
        }
    }

    #[test]
    fn one_region_alone_shows_redis_doubles(base in any::<f64>(), steps in vec(-1e6_f64..1e6, 1..10)) {
        prop_assume!(base.is_finite());
        let (mut last, mut sum) = (Some(base), Exact::zero());
        for by in steps {
            let (score, delta) = zincr(last, by).unwrap();
            sum += &delta;
            prop_assert_eq!(score, last.unwrap() + by);
            prop_assert_eq!(show_score(Some(base), &sum), score);
            last = Some(score);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(text in vec(any::<u8>(), 0..40), close in "[-+0-9a-fx.pen]{0,20}") {
        for text in [text.as_slice(), close.as_bytes()] {
            let _ = (parse_i64(text), parse_double(text), LongDouble::parse(text));
            let finite = LongDouble::parse(text).is_some_and(|value| !value.is_nan_or_inf());
            prop_assert_eq!(parse_number(text).is_some(), finite);
        }
    }

    #[test]
    fn integers_are_read_only_as_they_are_printed(value in any::<i64>(), text in "-?[0-9]{1,20}") {
        prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        let read = parse_i64(text.as_bytes());
        prop_assert_eq!(read.map(|value| value.to_string() == text), read.map(|_| true));
        prop_assert_eq!(read.is_some(), text.parse::<i64>().is_ok_and(|value| value.to_string() == text));
    }
}

#[test]
fn integers_are_strict() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-0", None),
        ("00", None),
        ("01", None),
        ("+1", None),
        (" 1", None),
        ("1 ", None),
        ("", None),
        ("-", None),
        ("1.0", None),
        ("1e3", None),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn decimal_fractions_do_not_surprise() {
    assert_eq!(incr(Some("0.1"), "0.2").unwrap(), "0.3");
    assert_eq!(incr(Some("3.0e3"), "200").unwrap(), "3200");
    assert_eq!(incr(None, "-0.0").unwrap(), "0");
    assert_eq!(incr(Some("-1e-30"), "0").unwrap(), "0");
    assert_eq!(incr(Some("1e17"), "0.5").unwrap(), "100000000000000000.5");
    assert_eq!(incr(Some("0x1p-1"), "1").unwrap(), "1.5");
    // What is lost to rounding is in the increment: 1e-30 was shown before, 0 after.
    assert_eq!(
        incr_by_float(Some(b"1e-30"), b"0").unwrap().delta,
        -exact("1e-30")
    );
}

#[test]
fn refusals_are_those_of_redis() {
    use FloatError::{HashNotAFloat, IncrementNotFinite, NanOrInfinity, NotAFloat};
    for (old, by, string, hash) in [
        ("abc", "1", NotAFloat, HashNotAFloat),
        ("1", "abc", NotAFloat, NotAFloat),
        ("abc", "inf", NotAFloat, IncrementNotFinite),
        ("1", "-Infinity", NanOrInfinity, IncrementNotFinite),
        ("inf", "1", NanOrInfinity, NanOrInfinity),
        ("1", "nan", NotAFloat, NotAFloat),
        ("1", " 1", NotAFloat, NotAFloat),
        ("1", "", NotAFloat, NotAFloat),
        ("1", "1e5000", NotAFloat, NotAFloat),
        ("1", "1e-5000", NotAFloat, NotAFloat),
        ("1.1e4932", "1.1e4932", NanOrInfinity, NanOrInfinity),
    ] {
        assert_eq!(incr(Some(old), by), Err(string), "{old} {by}");
        assert_eq!(
            hincr_by_float(Some(old.as_bytes()), by.as_bytes()),
            Err(hash),
            "{old} {by}"
        );
    }
}

#[test]
fn the_ends_of_the_long_double() {
    let largest = LongDouble::MAX.format_human();
    assert_eq!(LongDouble::parse(largest.as_bytes()), Some(LongDouble::MAX));
    assert!(largest.starts_with("118973149535723176502126385303097020516906332229462420044032373389173700552297072261641029033652888285"));
    assert_eq!(largest.len(), 4_933);
    // Half the smallest subnormal is the tie with zero: refused, like everything below. A little more is read.
    let tie = Exact::from_scaled(&BigInt::from(1), -16_446, 0).unwrap();
    assert_eq!(LongDouble::nearest(&tie), LongDouble::ZERO);
    assert_eq!(LongDouble::parse(b"0x1p-16446"), None);
    assert!(LongDouble::parse(b"0x1.0000000000000000000001p-16446").is_some());
    assert!(LongDouble::parse(b"1.9e-4951").is_some() && LongDouble::parse(b"1.8e-4951").is_none());
    assert!(LongDouble::parse(b"0x0.ffffffffffffffff7fp16384").is_some());
    assert!(LongDouble::parse(b"0x0.ffffffffffffffff8p16384").is_none());
    let (infinite, minus) = (
        LongDouble::parse(b"inf").unwrap(),
        LongDouble::parse(b"-INFINITY").unwrap(),
    );
    assert_eq!(
        (infinite.format_human(), minus.format_human()),
        ("inf".to_owned(), "-inf".to_owned())
    );
    assert_eq!((infinite + minus).format_human(), "nan");
    assert_eq!(infinite + LongDouble::MAX, infinite);
    assert!((LongDouble::MAX + LongDouble::MAX).is_infinite());
}

#[test]
fn long_texts_are_bounded() {
    let digits = |count: usize| "7".repeat(count).into_bytes();
    assert!(
        LongDouble::parse(&digits(NUMBER_TEXT_BYTES_MAX)).is_none(),
        "past the largest long double"
    );
    let fraction = |count: usize| [b"0.".as_slice(), &digits(count - 2)].concat();
    assert!(parse_number(&fraction(NUMBER_TEXT_BYTES_MAX)).is_some());
    assert!(parse_number(&fraction(NUMBER_TEXT_BYTES_MAX + 1)).is_none());
    assert!(parse_double(&fraction(SCORE_TEXT_BYTES_MAX)).is_some());
    assert!(parse_double(&fraction(SCORE_TEXT_BYTES_MAX + 1)).is_none());
    for text in [
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0x1p99999999999999999999",
    ] {
        assert_eq!(
            (parse_double(text.as_bytes()), parse_number(text.as_bytes())),
            (None, None),
            "{text}"
        );
    }
    for text in [
        "0e99999999999999999999",
        "-0e-99999999999999999999",
        "0x0p99999999999999999999",
    ] {
        assert_eq!(parse_double(text.as_bytes()), Some(0.0), "{text}");
        assert_eq!(parse_number(text.as_bytes()), Some(Exact::zero()), "{text}");
    }
    // The deepest texts that are read are within the bounds of an exact sum.
    let hexadecimal = format!("0x.{}p-16440", "f".repeat(NUMBER_TEXT_BYTES_MAX - 10));
    assert!(parse_number(hexadecimal.as_bytes()).is_some());
    let zeros = format!("0.{}1e5000", "0".repeat(5_000));
    assert_eq!(human(&zeros), "0.1");
}

#[test]
fn merged_numbers_are_exact_then_rounded_once() {
    assert_eq!(shown(Some("10"), "5"), ("15".into(), false));
    assert_eq!(
        shown(None, "0.30000000000000000000000000000004"),
        ("0.3".into(), false)
    );
    assert_eq!(
        shown(Some("0.00000000000000001"), "0"),
        ("0.00000000000000001".into(), false)
    );
    assert_eq!(
        shown(None, "0.000000000000000015"),
        ("0.00000000000000002".into(), false)
    );
    assert_eq!(
        shown(None, "0.000000000000000025"),
        ("0.00000000000000002".into(), false)
    );
    assert_eq!(shown(None, "-0.000000000000000005"), ("0".into(), false));
    assert_eq!(shown(Some("1.5"), "-1.5"), ("0".into(), false));
}

#[test]
fn merged_numbers_past_the_range_show_its_end() {
    let (top, bottom) = (i64::MAX.to_string(), i64::MIN.to_string());
    assert_eq!(shown(Some(&top), "0"), (top.clone(), false));
    assert_eq!(shown(Some(&top), "1"), (top.clone(), true));
    assert_eq!(shown(Some(&top), "0.5"), (top.clone(), true));
    assert_eq!(shown(None, "-9223372036854775809"), (bottom.clone(), true));
    assert_eq!(shown(Some(&bottom), "0"), (bottom, false));
    // A base written outside of it, and increments that its writers had not seen.
    assert_eq!(shown(Some("1e30"), "1"), (top, true));
    assert_eq!(shown(Some("1e30"), "-1e30"), ("0".to_owned(), false));
}

#[test]
fn a_float_increment_says_when_it_is_past_the_range_that_is_shown() {
    let leaves = |old: Option<&str>, by: &str| {
        incr_by_float(old.map(str::as_bytes), by.as_bytes())
            .unwrap()
            .out_of_range
    };
    assert!(
        leaves(Some("9223372036854775807"), "1") && leaves(None, "1e30") && leaves(Some("-9e18"), "-9e18")
    );
    assert!(
        !leaves(Some("9223372036854775806"), "1")
            && leaves(Some("1e30"), "1")
            && !leaves(Some("1e30"), "-1e30")
    );
    assert_eq!(incr(None, "1e30").unwrap(), "1000000000000000000024696061952");
    assert_eq!(
        incr(Some("9223372036854775806"), "1").unwrap(),
        "9223372036854775807"
    );
    // From outside, where a SET put it, it may go anywhere, inside as well.
    assert_eq!(incr(Some("1e30"), "-1e30").unwrap(), "0");
    assert_eq!(incr(Some("1e19"), "1e19").unwrap(), "20000000000000000000");
}

#[test]
fn scores_print_as_redis_prints_them() {
    for (value, old, new) in [
        (0.1, "0.10000000000000001", "0.1"),
        (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        (3.0, "3", "3"),
        (-0.0, "-0", "-0"),
        (1e16, "10000000000000000", "10000000000000000"),
        (1e17, "1e+17", "100000000000000000"),
        (
            4_611_686_018_427_387_904.0,
            "4.6116860184273879e+18",
            "4611686018427387904",
        ),
        (1e19, "1e+19", "1e+19"),
        (
            12_345_678_901_234_567_000.0,
            "1.2345678901234567e+19",
            "12345678901234567000",
        ),
        (1e23, "9.9999999999999992e+22", "1e+23"),
        (1e-4, "0.0001", "0.0001"),
        (1e-5, "1.0000000000000001e-05", "0.00001"),
        (1e-7, "9.9999999999999995e-08", "1e-7"),
        (1.25e-5, "1.2500000000000001e-05", "1.25e-5"),
        (5e-324, "4.9406564584124654e-324", "5e-324"),
        (-1.5e300, "-1.5000000000000001e+300", "-1.5e+300"),
        (999_999_999_999_999.125, "999999999999999.12", "999999999999999.1"),
        (f64::NEG_INFINITY, "-inf", "-inf"),
    ] {
        assert_eq!(
            (
                format_double_17g(value).as_str(),
                format_double_shortest(value).as_str()
            ),
            (old, new)
        );
    }
}

#[test]
fn infinite_scores_come_from_zadd_and_stay() {
    let inf = f64::INFINITY;
    assert_eq!(zincr(Some(1.0), inf), Err(ScoreError::NotFinite));
    assert_eq!(zincr(Some(inf), -inf), Err(ScoreError::NotANumber));
    assert_eq!(zincr(Some(1.0), f64::NAN), Err(ScoreError::NotANumber));
    assert_eq!(zincr(Some(inf), -2.5), Ok((inf, exact("-2.5"))));
    assert_eq!(show_score(Some(inf), &exact("-2.5")), inf);
    // Past the largest double: an infinity, in the view as in the reply.
    for sign in [1.0, -1.0] {
        let (score, delta) = zincr(Some(sign * f64::MAX), sign * f64::MAX).unwrap();
        assert_eq!(score, sign * inf);
        assert_eq!(show_score(Some(sign * f64::MAX), &delta), score);
    }
}

#[test]
fn a_sum_has_no_negative_zero() {
    let (score, delta) = zincr(None, -0.0).unwrap();
    assert!(score.is_sign_positive() && delta.is_zero());
    assert!(show_score(Some(-0.0), &Exact::zero()).is_sign_positive());
}
