//! A history as a list of steps, drawn from a seed before anything runs.
//!
//! A step says all that it needs by itself, and has its own seed for what chance decides while it runs (which commits
//! of a crashing node still reach the store, how late a message is). So a history stays legal, and its other steps
//! stay what they were, when some are left out: that is what shrinking does ([`crate::shrink`]). A step that has
//! nothing to act on is skipped and counted.

use cartograph_commerce::{CartCommand, CartId, CartPolicy, Quantity, Sku};
use cartograph_engine::Command;
use cartograph_engine::command::{Condition, End, ExpireFlags, SetExpiry, SetOperation, When, ZAddFlags};
use cartograph_replica::commit::ViewContent;

use crate::chance::Chance;
use crate::plan::Plan;

/// Keys that random commands go to. All share a hash slot, as transactions of a cluster's clients would want.
pub const KEYS: [&[u8]; 4] = [b"k1", b"cart:1", b"cart:2", b"k2"];
const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

/// One thing that happens in a history.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "regions are numbers from 0, times milliseconds; the names say the rest"
)]
pub enum Step {
    /// A client asks; more than one command are a transaction.
    Write { region: usize, commands: Vec<Command> },
    /// A client adds a member of its own to a set that nobody else removes it from.
    Add { region: usize, member: u64 },
    /// A client removes a member of that set that its region shows.
    Remove { region: usize },
    /// A client increments, with an idempotency key, trying so often.
    Once { region: usize, id: u64, tries: usize },
    /// A link is cut or healed, one direction.
    Link { from: usize, to: usize, up: bool },
    /// A link's latency, jitter, loss and disorder change.
    Weather {
        from: usize,
        to: usize,
        weather: [u64; 4],
    },
    /// A connection breaks with all that is on its way.
    Break { from: usize, to: usize },
    /// All links of a region are cut.
    CutOff { region: usize },
    /// All links are healed, and the weather is fine.
    Heal,
    /// A node is killed, and started again after a pause.
    Crash { region: usize, pause_ms: u64 },
    /// The connection to a store breaks.
    BreakStore { region: usize },
    /// A store's server is started again with everything in it.
    RestartStore { region: usize },
    /// A copy of a store is taken.
    Image { region: usize },
    /// The last copy, or so many commits less than there are, or nothing is put back; with a crash of the node or not.
    Restore {
        region: usize,
        what: Restored,
        crash: bool,
    },
    /// A store refuses writes, or takes them again.
    Refuse { region: usize, on: bool },
    /// A store is down, or up again.
    StoreUp { region: usize, up: bool },
    /// Somebody changes a view behind the node's back.
    Tamper {
        region: usize,
        key: usize,
        content: ViewContent,
    },
    /// A further region joins.
    Join,
    /// A region dies for good, and another is told to forget it.
    Forget { region: usize },
    /// A region's clocks are off by so much from now on.
    Skew { region: usize, ms: i64 },
    /// Time passes.
    Pass { ms: u64 },
}

/// What is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The last copy that was taken.
    Image,
    /// All but the last few commits.
    Tail(usize),
    /// Nothing.
    Nothing,
}

impl Step {
    /// Its name in counts.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Write { commands, .. } if commands.len() > 1 => "transaction",
            Step::Write { .. } => "write",
            Step::Add { .. } | Step::Remove { .. } => "ledger write",
            Step::Once { .. } => "idempotent write",
            Step::Link { up: false, .. } => "link cut",
            Step::Link { up: true, .. } => "link healed",
            Step::Weather { .. } => "slow or lossy link",
            Step::Break { .. } => "connection broken",
            Step::CutOff { .. } => "region cut off",
            Step::Heal => "all healed",
            Step::Crash { .. } => "node crash",
            Step::BreakStore { .. } => "store connection broken",
            Step::RestartStore { .. } => "store restart",
            Step::Image { .. } => "store copied",
            Step::Restore { what, .. } => match what {
                Restored::Image => "store rolled back",
                Restored::Tail(_) => "log tail lost",
                Restored::Nothing => "store wiped",
            },
            Step::Refuse { .. } => "store refuses or stops refusing",
            Step::StoreUp { .. } => "store stopped or started",
            Step::Tamper { .. } => "view damaged",
            Step::Join => "region joins",
            Step::Forget { .. } => "region dies and is forgotten",
            Step::Skew { .. } => "clock jump",
            Step::Pass { .. } => "pause",
        }
    }

    /// Is it a fault, rather than a client's work or time passing?
    pub fn is_fault(name: &str) -> bool {
        let work = [
            "write",
            "transaction",
            "ledger write",
            "idempotent write",
            "pause",
            "store copied",
            "link healed",
            "all healed",
        ];
        !work.contains(&name)
    }
}

/// A step in its place: its own seed, and how long the next one waits for it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Seed of what chance decides while it runs.
    pub salt: u64,
    /// What happens.
    pub step: Step,
    /// Milliseconds until the next.
    pub pause_ms: u64,
}

/// The history of a seed.
pub fn draw(seed: u64, plan: &Plan) -> Vec<Planned> {
    let regions = plan.regions - usize::from(plan.joining);
    let mut chance = Chance::new(seed);
    let mut author = Author {
        leaning: *chance.pick(&[0, 1, 2, 10, 20, 30]),
        chance,
        plan,
        regions,
        next: 0,
        gone: None,
        down: Vec::new(),
        refusing: Vec::new(),
        cut: Vec::new(),
        out: Vec::new(),
    };
    while author.out.len() < plan.steps {
        author.step();
    }
    author.out
}

/// Who writes histories, and what is true at the point where they stand.
struct Author<'a> {
    chance: Chance,
    /// Which commands are common.
    leaning: u64,
    plan: &'a Plan,
    regions: usize,
    next: u64,
    gone: Option<usize>,
    down: Vec<usize>,
    refusing: Vec<usize>,
    cut: Vec<(usize, usize)>,
    out: Vec<Planned>,
}

impl Author<'_> {
    fn put(&mut self, step: Step, pause_ms: u64) {
        let salt = self.chance.below(u64::MAX);
        self.out.push(Planned { salt, step, pause_ms });
    }

    fn then(&mut self, step: Step) {
        // Often none, or just long enough for a commit to be on its way: so faults meet work half done.
        let pause_ms = match self.chance.below(3) {
            0 => 0,
            1 => 1 + self.chance.below(3),
            _ => self.chance.below(30),
        };
        self.put(step, pause_ms);
    }

    fn step(&mut self) {
        let region = self.chance.index(self.regions);
        let alive = self.gone != Some(region);
        match self.chance.below(26) {
            0 if self.plan.cuts => {
                let to = self.chance.index(self.regions);
                if region != to {
                    let pair = (region, to);
                    let up = self.cut.contains(&pair);
                    toggle(&mut self.cut, pair);
                    self.then(Step::Link { from: region, to, up });
                }
            }
            1 if self.plan.cuts || self.plan.weather || self.plan.isolation => {
                self.cut.clear();
                self.then(Step::Heal);
            }
            2 | 7 if self.plan.crashes && alive => {
                let pause_ms = self.chance.below(400);
                self.then(Step::Crash { region, pause_ms });
            }
            3 | 8 if self.plan.stores && alive => self.hurt_store(region),
            4 if self.plan.skew => {
                let reach = if self.chance.one_in(4) { 6_000 } else { 400 };
                let ms = i64::try_from(self.chance.below(2 * reach)).unwrap_or(0) - reach.cast_signed();
                self.then(Step::Skew { region, ms });
            }
            5 => {
                let most = if self.chance.one_in(4) { 1_000 } else { 200 };
                let ms = self.chance.below(most);
                self.then(Step::Pass { ms });
            }
            6 | 9 if alive => self.harm(region),
            10 if self.plan.weather => {
                let to = self.chance.index(self.regions);
                if region != to {
                    let weather = [
                        self.chance.below(300),
                        self.chance.below(60),
                        self.chance.below(150),
                        self.chance.below(200),
                    ];
                    self.then(Step::Weather {
                        from: region,
                        to,
                        weather,
                    });
                }
            }
            11 if self.plan.weather => {
                let to = self.chance.index(self.regions);
                if region != to {
                    self.then(Step::Break { from: region, to });
                }
            }
            12 if self.plan.tails && alive => {
                let what = Restored::Tail(1 + self.chance.index(4));
                let crash = self.chance.one_in(2);
                self.then(Step::Restore { region, what, crash });
            }
            _ => self.work(region),
        }
    }

    /// One of the rarer faults.
    fn harm(&mut self, region: usize) {
        match self.chance.below(7) {
            0 if self.plan.wipes => {
                let crash = self.chance.one_in(2);
                let what = Restored::Nothing;
                self.then(Step::Restore { region, what, crash });
            }
            1 if self.plan.refusals => {
                let on = !self.refusing.contains(&region);
                toggle(&mut self.refusing, region);
                self.then(Step::Refuse { region, on });
            }
            2 if self.plan.refusals => {
                let up = self.down.contains(&region);
                toggle(&mut self.down, region);
                self.then(Step::StoreUp { region, up });
            }
            3 if self.plan.tampering => {
                let key = self.chance.index(self.plan.keys.min(KEYS.len()));
                let content = match self.chance.below(3) {
                    0 => ViewContent::Absent,
                    1 => ViewContent::String(b"not what you think".to_vec()),
                    _ => ViewContent::Set {
                        add: vec![b"x1".to_vec(), b"x2".to_vec(), b"x3".to_vec(), b"x4".to_vec()],
                        remove: Vec::new(),
                    },
                };
                self.then(Step::Tamper { region, key, content });
            }
            4 if self.plan.joining && self.plan.regions > self.regions => {
                self.regions += 1;
                self.then(Step::Join);
            }
            6 if self.plan.forgetting && self.gone.is_none() => {
                self.gone = Some(region);
                self.then(Step::Forget { region });
            }
            5 | 6 if self.plan.isolation => self.isolate(region),
            _ => self.work(region),
        }
    }

    fn hurt_store(&mut self, region: usize) {
        let step = match self.chance.below(5) {
            0 | 1 => Step::BreakStore { region },
            2 => Step::RestartStore { region },
            3 => Step::Image { region },
            _ => Step::Restore {
                region,
                what: Restored::Image,
                crash: self.chance.one_in(3),
            },
        };
        self.then(step);
    }

    /// Cuts a region off from everyone; while it is, it writes, and may lose its node and its store's last writes.
    fn isolate(&mut self, region: usize) {
        self.then(Step::CutOff { region });
        self.cut.retain(|(a, b)| *a != region && *b != region);
        for other in (0..self.regions).filter(|r| *r != region) {
            self.cut.extend([(region, other), (other, region)]);
        }
        for _ in 0..self.chance.below(6) {
            self.work(region);
        }
        if self.plan.stores && self.chance.one_in(2) {
            let what = if self.chance.one_in(2) {
                Restored::Image
            } else {
                Restored::Tail(1 + self.chance.index(6))
            };
            self.then(Step::Restore {
                region,
                what,
                crash: true,
            });
        }
        for other in (0..self.regions).filter(|r| *r != region) {
            self.work(other);
        }
        let ms = self.chance.below(self.plan.isolation_ms_max);
        self.then(Step::Pass { ms });
        for _ in 0..self.chance.below(6) {
            self.work(region);
        }
    }

    /// A client's doing.
    fn work(&mut self, region: usize) {
        match self.chance.below(14) {
            0 | 1 => {
                self.next += 1;
                let member = self.next;
                self.then(Step::Add { region, member });
            }
            2 => self.then(Step::Remove { region }),
            3 => {
                self.next += 1;
                let tries = 1 + self.chance.index(3);
                let id = self.next;
                self.then(Step::Once { region, id, tries });
                if self.chance.one_in(2) {
                    self.then(Step::Once { region, id, tries });
                }
            }
            4 | 5 => {
                let commands = (0..2 + self.chance.below(3)).map(|_| self.command()).collect();
                self.then(Step::Write { region, commands });
            }
            _ => {
                let commands = vec![self.command()];
                self.then(Step::Write { region, commands });
            }
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let keys = self.plan.keys.clamp(1, KEYS.len());
        let any = self.chance.index(keys);
        let at = if self.chance.one_in(2) { 0 } else { any };
        KEYS.get(at).map(|k| k.to_vec()).unwrap_or_default()
    }

    fn command(&mut self) -> Command {
        // Two of three suit the type that the history leans on, or most would be refused for a wrong one.
        if self.chance.below(3) < 2 {
            return match self.leaning + self.chance.below(3) {
                0 => self.on_carts(),
                1 | 2 => self.on_hashes(),
                3 if self.plan.expiry => self.on_expiry(),
                3 | 4 => self.on_keys(),
                10..13 => self.on_strings(),
                20..23 => self.on_sets(),
                _ => self.on_sorted_sets(),
            };
        }
        match self.chance.below(12) {
            0..4 => self.on_hashes(),
            4..6 => self.on_strings(),
            6 | 7 => self.on_sets(),
            8 => self.on_sorted_sets(),
            9 if self.plan.expiry => self.on_expiry(),
            9 | 10 => self.on_keys(),
            _ => self.on_carts(),
        }
    }

    fn by(&mut self) -> i64 {
        i64::try_from(self.chance.below(7)).unwrap_or(0) - 2
    }

    fn name(&mut self) -> Vec<u8> {
        self.chance.pick(&NAMES).to_vec()
    }

    fn when(&mut self) -> When {
        When::In(i64::try_from(1 + self.chance.below(self.plan.expiry_ms_max)).unwrap_or(1))
    }

    fn on_hashes(&mut self) -> Command {
        let (key, field, by) = (self.key(), self.name(), self.by());
        match self.chance.below(9) {
            0..3 => Command::HIncrBy { key, field, by },
            3 | 4 => Command::HSet {
                key,
                fields: vec![(field, by.to_string().into_bytes())],
            },
            5 | 6 => Command::HDel {
                key,
                fields: vec![field],
            },
            7 => Command::HSetNx {
                key,
                field,
                value: b"7".to_vec(),
            },
            _ => Command::HIncrByFloat {
                key,
                field,
                by: b"0.1".to_vec(),
            },
        }
    }

    fn on_strings(&mut self) -> Command {
        let (key, by) = (self.key(), self.by());
        let value = if self.chance.one_in(3) {
            self.name()
        } else {
            by.to_string().into_bytes()
        };
        match self.chance.below(10) {
            0..3 => Command::IncrBy { key, by },
            3 => Command::IncrByFloat {
                key,
                by: b"1.5".to_vec(),
            },
            4 => Command::Append { key, value },
            5 => Command::SetRange {
                key,
                offset: 1,
                value,
            },
            6 => Command::MSet {
                pairs: vec![(key, value.clone()), (self.key(), value)],
                only_if_absent: self.chance.one_in(3),
            },
            7 => Command::GetDel { key },
            _ => {
                let expiry = match self.chance.below(4) {
                    0 => SetExpiry::Keep,
                    1 if self.plan.expiry => SetExpiry::Expires(self.when()),
                    _ => SetExpiry::Never,
                };
                Command::Set {
                    key,
                    value,
                    expiry,
                    condition: *self.chance.pick(&[
                        Condition::Always,
                        Condition::Always,
                        Condition::IfAbsent,
                    ]),
                    get: false,
                }
            }
        }
    }

    fn on_sets(&mut self) -> Command {
        let (key, member) = (self.key(), self.name());
        match self.chance.below(10) {
            0..4 => Command::SAdd {
                key,
                members: vec![member],
            },
            4 | 5 => Command::SRem {
                key,
                members: vec![member],
            },
            6 => Command::SPop { key, count: None },
            7 => Command::SMove {
                from: key,
                to: self.key(),
                member,
            },
            8 => Command::SStore {
                operation: *self
                    .chance
                    .pick(&[SetOperation::Union, SetOperation::Intersection]),
                to: key,
                keys: vec![self.key(), self.key()],
            },
            _ => Command::PfAdd {
                key,
                elements: vec![member],
            },
        }
    }

    fn on_sorted_sets(&mut self) -> Command {
        let (key, member, by) = (self.key(), self.name(), self.by());
        let score = f64::from(i32::try_from(by).unwrap_or(0));
        let flags = ZAddFlags::default();
        match self.chance.below(6) {
            0 | 1 => Command::ZAdd {
                key,
                flags,
                pairs: vec![(score, member)],
            },
            2 | 3 => Command::ZIncrBy {
                key,
                flags,
                by: score / 4.0,
                member,
            },
            4 => Command::ZRem {
                key,
                members: vec![member],
            },
            _ => Command::ZPop {
                key,
                end: End::Min,
                count: 1,
            },
        }
    }

    fn on_expiry(&mut self) -> Command {
        let key = self.key();
        match self.chance.below(6) {
            0..4 => Command::Expire {
                key,
                when: self.when(),
                flags: ExpireFlags::default(),
            },
            4 => Command::Persist { key },
            _ => Command::GetEx {
                key,
                expiry: Some(Some(self.when())),
            },
        }
    }

    fn on_keys(&mut self) -> Command {
        let key = self.key();
        match self.chance.below(10) {
            0..4 => Command::Del { keys: vec![key] },
            4 => Command::Rename {
                from: key,
                to: self.key(),
                only_if_absent: false,
            },
            5 => Command::Copy {
                from: key,
                to: self.key(),
                replace: true,
            },
            6 | 7 => Command::Revoke { key },
            8 => Command::PfMerge {
                to: key,
                from: vec![self.key()],
            },
            _ => Command::PfAdd {
                key,
                elements: vec![self.name()],
            },
        }
    }

    /// Carts, folding among them.
    fn on_carts(&mut self) -> Command {
        let [this, other] = if self.chance.one_in(3) {
            ["2", "1"]
        } else {
            ["1", "2"]
        };
        let name = String::from_utf8(self.name()).unwrap_or_default();
        let by = 1 + i64::try_from(self.chance.below(3)).unwrap_or(0);
        let take = self.chance.one_in(3);
        let parts = || {
            let cart = CartId::parse(this).ok()?;
            let sku = Sku::parse(&name).ok()?;
            let quantity = Quantity::signed(if take { -by } else { by }).ok()?;
            Some((cart, sku, quantity, CartId::parse(other).ok()?))
        };
        let Some((cart, sku, quantity, from)) = parts() else {
            return Command::Del { keys: Vec::new() };
        };
        let what = match self.chance.below(8) {
            0..4 => CartCommand::Add { sku, quantity },
            4 => CartCommand::Remove { sku },
            5 => CartCommand::Clear,
            _ => CartCommand::Merge { from },
        };
        what.command(&cart, CartPolicy::default())
    }
}

fn toggle<T: PartialEq>(all: &mut Vec<T>, one: T) {
    match all.iter().position(|o| *o == one) {
        Some(at) => {
            all.swap_remove(at);
        }
        None => all.push(one),
    }
}
