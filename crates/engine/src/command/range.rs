//! Ranges of sorted sets: by rank, by score, by member.

/// Scores between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lower bound.
    pub min: f64,
    /// The upper bound.
    pub max: f64,
    /// Is the lower bound itself left out?
    pub above_min: bool,
    /// Is the upper bound itself left out?
    pub below_max: bool,
}

impl ScoreRange {
    /// Is the score past the lower bound?
    pub fn passes_min(&self, score: f64) -> bool {
        if self.above_min {
            score > self.min
        } else {
            score >= self.min
        }
    }

    /// Is the score before the upper bound?
    pub fn passes_max(&self, score: f64) -> bool {
        if self.below_max {
            score < self.max
        } else {
            score <= self.max
        }
    }
}

/// A bound of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LexBound {
    /// `-`: before every member.
    First,
    /// `+`: after every member.
    Last,
    /// `[`: this one included.
    Including(Vec<u8>),
    /// `(`: this one left out.
    Excluding(Vec<u8>),
}

/// Members between two bounds, by their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexRange {
    /// The lower bound.
    pub min: LexBound,
    /// The upper bound.
    pub max: LexBound,
}

impl LexRange {
    /// Is the member past the lower bound?
    pub fn passes_min(&self, member: &[u8]) -> bool {
        match &self.min {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Including(bound) => member >= bound.as_slice(),
            LexBound::Excluding(bound) => member > bound.as_slice(),
        }
    }

    /// Is the member before the upper bound?
    pub fn passes_max(&self, member: &[u8]) -> bool {
        match &self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Including(bound) => member <= bound.as_slice(),
            LexBound::Excluding(bound) => member < bound.as_slice(),
        }
    }
}

/// What a range is counted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// Ranks, the negative ones from the end.
    Ranks {
        /// The first.
        start: i64,
        /// The last, included.
        stop: i64,
    },
    /// BYSCORE.
    Scores(ScoreRange),
    /// BYLEX: means something only where all scores are equal.
    Members(LexRange),
}

/// ZRANGE's range.
#[derive(Clone, Debug, PartialEq)]
pub struct ZRange {
    /// Which.
    pub span: Span,
    /// REV: from the highest.
    pub reverse: bool,
    /// LIMIT: how many to leave out, and how many to take (negative: all). A negative offset leaves out all.
    pub limit: Option<(i64, i64)>,
}
