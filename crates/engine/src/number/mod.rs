//! Redis's own number rules, so that one region alone answers with Redis's own digits.
//!
//! A writer computes what Redis would compute: 64-bit integers for INCRBY, x87 long doubles for INCRBYFLOAT, doubles for scores. What
//! it records in causal state is another thing: the *exact* difference between what was shown before and after, an [`Exact`]. So the
//! rounding that Redis does stays inside the increment that did it, the sum of all increments is the same in every region and in any
//! order, and where only one region wrote, base plus increments is exactly the number that Redis shows.
//!
//! - [`parse_i64`], [`parse_double`], [`LongDouble`], [`parse_number`]: which texts are numbers, to which command
//! - [`incr_by_float`], [`hincr_by_float`], [`zincr`]: one increment at its writer
//! - [`show_number`], [`show_score`], [`format_double_17g`], [`format_double_shortest`]: how a number is shown
//!
//! Bit-exact with Redis 7 on x86-64 Linux (glibc, 80-bit long double); `tests/` compares with a real server. All arithmetic is exact
//! integer arithmetic rounded once; the machine's floats are used only where Redis uses the same operation: one addition of doubles.

mod double;
mod increment;
mod integer;
mod long_double;
mod show;
mod text;

#[cfg(test)]
mod tests;

pub use cartograph_crdt::exact::Exact;

pub use double::{
    SCORE_TEXT_BYTES_MAX, format_double_17g, format_double_shortest, parse_bound, parse_double,
};
pub use increment::{FloatError, FloatIncrement, ScoreError, hincr_by_float, incr_by_float, zincr};
pub use integer::parse_i64;
pub use long_double::LongDouble;
pub use show::{Shown, exact_of_decimal, parse_number, show_number, show_score};
pub use text::NUMBER_TEXT_BYTES_MAX;
