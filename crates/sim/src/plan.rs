//! What a history may contain, by name or drawn from a seed.

use cartograph_engine::Limits;

use crate::chance::Chance;

/// What a history may contain.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each fault is in the plan or is not"
)]
pub struct Plan {
    /// Number of regions.
    pub regions: usize,
    /// Number of steps.
    pub steps: usize,
    /// Cut and heal links.
    pub cuts: bool,
    /// Crash and restart nodes.
    pub crashes: bool,
    /// Restart stores, roll them back, wipe them.
    pub stores: bool,
    /// Expiries, short enough to pass.
    pub expiry: bool,
    /// Skew clocks.
    pub skew: bool,
    /// Wipe stores, alone and with their node.
    pub wipes: bool,
    /// Stores that refuse for a while, or are down for a while.
    pub refusals: bool,
    /// Someone writes to stores behind the nodes' back.
    pub tampering: bool,
    /// Regions that are not there at the beginning (`regions` counts them) join.
    pub joining: bool,
    /// Cut single regions off from all others, for up to `isolation_ms_max`.
    pub isolation: bool,
    /// For how long, in milliseconds.
    pub isolation_ms_max: u64,
    /// One region dies for good and is forgotten.
    pub forgetting: bool,
    /// Links that are slow, lose messages, repeat them and let them overtake each other.
    pub weather: bool,
    /// Stores that lose the last few commits when they die.
    pub tails: bool,
    /// How many keys are written to; half of all writes go to the first.
    pub keys: usize,
    /// Latency of every link, in milliseconds.
    pub latency_ms: u64,
    /// The longest life that is given to a key, in milliseconds.
    pub expiry_ms_max: u64,
    /// Bounds of the shards.
    pub limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            regions: 3,
            steps: 120,
            cuts: true,
            crashes: false,
            stores: false,
            expiry: true,
            skew: false,
            wipes: false,
            refusals: false,
            tampering: false,
            joining: false,
            isolation: false,
            isolation_ms_max: 2_000,
            forgetting: false,
            weather: false,
            tails: false,
            keys: 4,
            latency_ms: 20,
            expiry_ms_max: 1_700,
            limits: Limits::default(),
        }
    }
}

/// Limits under which several commits are in flight whenever anything waits.
pub fn pipelined() -> Limits {
    Limits {
        in_flight_from: 1,
        batch_commands_max: 2,
        ..Limits::default()
    }
}

/// Limits under which the log holds next to nothing.
pub fn capped() -> Limits {
    Limits {
        log_bytes_max: 2_000,
        log_entries_min: 2,
        log_age_min_ms: 100,
        ..pipelined()
    }
}

impl Plan {
    /// Everything that can go wrong, in a short history: the seed decides how many regions there are, which faults
    /// happen, how far keys are shared, how slow links are and how much a log holds.
    pub fn storm(seed: u64) -> Plan {
        // Its own sequence of chance: a change of the plan must not change what the steps draw, nor the other way.
        let mut chance = Chance::new(seed ^ 0x5f0e_a7de_3d1c_9b42);
        let regions = *chance.pick(&[2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 7]);
        let mut limits = match chance.below(4) {
            0 => Limits::default(),
            1 | 2 => pipelined(),
            _ => capped(),
        };
        limits.recovery_ms_max = 500 + chance.below(2_000);
        if chance.one_in(4) {
            limits.retire_after_ms = 500;
        }
        if chance.one_in(4) {
            // Next to nothing stays in memory: most commands begin with loads.
            limits.cache_bytes_max = 2_000;
        }
        let mut often = || chance.below(5) < 2;
        let [cuts, crashes, stores, wipes, refusals] = std::array::from_fn(|_| often());
        let [isolation, skew, weather, tails, expiry] = std::array::from_fn(|_| often());
        let joining = regions > 2 && chance.one_in(5);
        let forgetting = regions > 2 && !joining && chance.one_in(6);
        Plan {
            regions,
            steps: usize::try_from(20 + chance.below(50)).unwrap_or(20),
            cuts,
            crashes,
            stores,
            expiry: expiry || chance.one_in(2),
            skew,
            wipes: wipes && !forgetting,
            refusals,
            tampering: chance.one_in(12),
            joining,
            isolation,
            isolation_ms_max: *chance.pick(&[300, 1_000, 3_000]),
            forgetting,
            weather,
            tails,
            keys: *chance.pick(&[1, 1, 2, 3, 4]),
            latency_ms: *chance.pick(&[1, 5, 20, 60]),
            expiry_ms_max: *chance.pick(&[20, 100, 400, 1_500]),
            limits,
        }
    }
}
