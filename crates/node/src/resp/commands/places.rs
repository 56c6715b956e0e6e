//! Geo.

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::command::{Read, ZAddFlags};
use cartograph_engine::geo::{self, Area, Centre, Order, Position, Query};
use cartograph_engine::number::{parse_double, parse_i64};
use cartograph_engine::{Command, CommandError, Reply};
use cartograph_resp::Value;

use super::args::{all, arity, bytes, double, error, is, syntax};
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    match (name, args) {
        ("geoadd", [key, args @ ..]) => geoadd(key, args),
        ("geosearchstore", [to, key, options @ ..]) => Ok(search(name, key, Some(to), options)),
        ("georadius" | "georadiusbymember", [key, ..]) => Ok(radius(name, key, args)),
        _ => Err(arity(name)),
    }
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("geosearch", [key, options @ ..]) => search(name, key, None, options),
        ("georadius_ro" | "georadiusbymember_ro", [key, ..]) => radius(name, key, args),
        ("geopos", [key, members @ ..]) => {
            let read = Read::GeoPos {
                key: bytes(key),
                members: all(members),
            };
            Parsed::shaped_read(read, Shape::Places)
        }
        ("geohash", [key, members @ ..]) => Parsed::read(Read::GeoHash {
            key: bytes(key),
            members: all(members),
        }),
        ("geodist", [key, a, b, rest @ ..]) => {
            let metres = match rest {
                [] => 1.0,
                [unit] => metres(unit).map_err(|e| super::args::refusal(&e))?,
                _ => return Err(syntax()),
            };
            Parsed::read(Read::GeoDist {
                key: bytes(key),
                members: [bytes(a), bytes(b)],
                metres,
            })
        }
        _ => return Err(arity(name)),
    })
}

fn geoadd(key: &Bytes, args: &[Bytes]) -> Result {
    let mut flags = ZAddFlags::default();
    let mut rest = args;
    while let [word, after @ ..] = rest {
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => flags.nx = true,
            b"xx" => flags.xx = true,
            b"ch" => flags.ch = true,
            _ => break,
        }
        rest = after;
    }
    let (places, odd) = rest.as_chunks::<3>();
    if places.is_empty() || !odd.is_empty() || (flags.nx && flags.xx) {
        return Err(syntax());
    }
    let mut pairs = Vec::with_capacity(places.len());
    for [longitude, latitude, member] in places {
        let position = Position {
            longitude: double(longitude)?,
            latitude: double(latitude)?,
        };
        let score = geo::encode(position).ok_or_else(|| off_the_map(position))?;
        pairs.push((score, bytes(member)));
    }
    Ok(Parsed::plain(Command::ZAdd {
        key: bytes(key),
        flags,
        pairs,
    }))
}

fn off_the_map(position: Position) -> Value {
    let Position { longitude, latitude } = position;
    error(&format!(
        "invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
    ))
}

/// How a search goes on after its words were read.
type Outcome<T> = std::result::Result<T, Problem>;

/// What is wrong with a search's words.
enum Problem {
    Refused(CommandError),
    /// With the given numbers in it.
    OffTheMap(Position),
}

impl Problem {
    fn error(&self) -> CommandError {
        match self {
            Problem::Refused(error) => error.clone(),
            Problem::OffTheMap(Position { longitude, latitude }) => CommandError::Domain {
                code: "off_the_map",
                message: format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}"),
            },
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        Problem::Refused(error)
    }
}

fn problem(text: &'static str) -> Problem {
    Problem::Refused(CommandError::Redis(text))
}

/// Metres in one of these.
fn metres(unit: &Bytes) -> std::result::Result<f64, CommandError> {
    Ok(match unit.to_ascii_lowercase().as_slice() {
        b"m" => 1.0,
        b"km" => 1_000.0,
        b"ft" => 0.3048,
        b"mi" => 1_609.34,
        _ => {
            return Err(CommandError::Redis(
                "unsupported unit provided. please use M, KM, FT, MI",
            ));
        }
    })
}

fn number(arg: &Bytes, otherwise: &'static str) -> Outcome<f64> {
    parse_double(arg).ok_or_else(|| problem(otherwise))
}

fn place(longitude: &Bytes, latitude: &Bytes) -> Outcome<Position> {
    let position = Position {
        longitude: parse_double(longitude).ok_or(CommandError::NotAFloat)?,
        latitude: parse_double(latitude).ok_or(CommandError::NotAFloat)?,
    };
    match geo::encode(position) {
        Some(_) => Ok(position),
        None => Err(Problem::OffTheMap(position)),
    }
}

/// A length, and what its unit is in metres.
fn circle(radius: &Bytes, unit: &Bytes) -> Outcome<(Area, f64)> {
    let radius = number(radius, "need numeric radius")?;
    if radius < 0.0 {
        return Err(problem("radius cannot be negative"));
    }
    let metres = metres(unit)?;
    Ok((Area::Radius(radius * metres), metres))
}

fn rectangle(width: &Bytes, height: &Bytes, unit: &Bytes) -> Outcome<(Area, f64)> {
    let width = number(width, "need numeric width")?;
    let height = number(height, "need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(problem("height or width cannot be negative"));
    }
    let metres = metres(unit)?;
    let area = Area::Box {
        width: width * metres,
        height: height * metres,
    };
    Ok((area, metres))
}

/// What all forms of a search share.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Redis's own flags, each a word of the command"
)]
struct Options {
    centre: Option<Centre>,
    area: Option<(Area, f64)>,
    distance: bool,
    hash: bool,
    coordinates: bool,
    order: Option<Order>,
    count: Option<u64>,
    any: bool,
    store: Option<Vec<u8>>,
    distances: bool,
    /// A refused search's reply when the key is not there, where that is another.
    without_key: Option<Reply>,
}

impl Options {
    /// Reads a word that every form knows; `None` if this is none of them.
    fn common<'a>(&mut self, word: &Bytes, after: &'a [Bytes]) -> Outcome<Option<&'a [Bytes]>> {
        match (word.to_ascii_lowercase().as_slice(), after) {
            (b"withdist", _) => self.distance = true,
            (b"withhash", _) => self.hash = true,
            (b"withcoord", _) => self.coordinates = true,
            (b"any", _) => self.any = true,
            (b"asc", _) => self.order = Some(Order::Nearest),
            (b"desc", _) => self.order = Some(Order::Farthest),
            (b"count", [number, after @ ..]) => {
                let number = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                let count = u64::try_from(number).ok().filter(|n| *n > 0);
                self.count = Some(count.ok_or_else(|| problem("COUNT must be > 0"))?);
                return Ok(Some(after));
            }
            _ => return Ok(None),
        }
        Ok(Some(after))
    }

    fn command(self, key: &Bytes, metres: f64, centre: Centre, area: Area) -> Parsed {
        // The nearest ones are meant, unless any will do.
        let order = match (self.order, self.count) {
            (Some(order), _) => order,
            (None, Some(_)) if !self.any => Order::Nearest,
            (None, _) => Order::Any,
        };
        let query = Query {
            centre,
            area,
            metres,
            order,
            count: self.count,
        };
        let shape = Shape::Found {
            distance: self.distance,
            hash: self.hash,
            coordinates: self.coordinates,
        };
        if let Some(to) = self.store {
            return Parsed::plain(Command::GeoStore {
                to,
                from: bytes(key),
                query,
                distances: self.distances,
            });
        }
        let key = bytes(key);
        Parsed::shaped_read(Read::GeoSearch { key, query }, shape)
    }
}

/// The key's type is looked at before any of the words.
fn refuse(key: &Bytes, options: Options, found: &Problem) -> Parsed {
    Parsed::read(Read::Refuse {
        keys: vec![bytes(key)],
        types: &[Type::SortedSet],
        wrong_type: CommandError::WrongType,
        absent: options.without_key.map(Box::new),
        place: match options.centre {
            Some(Centre::Member(member)) => Some(member),
            Some(Centre::Position(_)) | None => None,
        },
        error: found.error(),
    })
}

/// GEORADIUS and its kin.
fn radius(name: &str, key: &Bytes, args: &[Bytes]) -> Parsed {
    let mut options = Options::default();
    let parsed = radius_of(name, key, args, &mut options);
    parsed.unwrap_or_else(|found| refuse(key, options, &found))
}

fn radius_of(name: &str, key: &Bytes, args: &[Bytes], options: &mut Options) -> Outcome<Parsed> {
    let may_store = !name.ends_with("_ro");
    let (centre, radius, unit, rest) = match args {
        [_, member, radius, unit, rest @ ..] if name.starts_with("georadiusbymember") => {
            (Centre::Member(bytes(member)), radius, unit, rest)
        }
        [_, longitude, latitude, radius, unit, rest @ ..] => {
            (Centre::Position(place(longitude, latitude)?), radius, unit, rest)
        }
        _ => return Err(CommandError::Syntax.into()),
    };
    options.centre = Some(centre.clone());
    let circle = circle(radius, unit);
    if circle.is_err() && matches!(centre, Centre::Member(_)) {
        // Without the key the radius is not even read.
        let words = radius_options(rest, may_store, &mut Options::default());
        options.without_key =
            Some(words.map_or_else(|found| Reply::Error(found.error()), |()| Reply::Array(Vec::new())));
    }
    let (area, metres) = circle?;
    radius_options(rest, may_store, options)?;
    Ok(std::mem::take(options).command(key, metres, centre, area))
}

/// What comes after the radius.
fn radius_options(mut rest: &[Bytes], may_store: bool, options: &mut Options) -> Outcome<()> {
    while let [word, after @ ..] = rest {
        if let Some(after) = options.common(word, after)? {
            rest = after;
            continue;
        }
        match after {
            [to, after @ ..] if may_store && (is(word, "store") || is(word, "storedist")) => {
                options.store = Some(bytes(to));
                options.distances = is(word, "storedist");
                rest = after;
            }
            _ => return Err(CommandError::Syntax.into()),
        }
    }
    if options.store.is_some() && (options.distance || options.hash || options.coordinates) {
        return Err(problem(
            "STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ));
    }
    if options.any && options.count.is_none() {
        return Err(problem("the ANY argument requires COUNT argument"));
    }
    Ok(())
}

/// GEOSEARCH and GEOSEARCHSTORE.
fn search(name: &str, key: &Bytes, to: Option<&Bytes>, options: &[Bytes]) -> Parsed {
    let mut read = Options {
        store: to.map(bytes),
        ..Options::default()
    };
    let parsed = search_of(name, key, options, &mut read);
    parsed.unwrap_or_else(|found| refuse(key, read, &found))
}

fn search_of(name: &str, key: &Bytes, mut rest: &[Bytes], options: &mut Options) -> Outcome<Parsed> {
    let stores = options.store.is_some();
    while let [word, after @ ..] = rest {
        if let Some(after) = options.common(word, after)? {
            rest = after;
            continue;
        }
        rest = match (word.to_ascii_lowercase().as_slice(), after) {
            (b"frommember", [member, after @ ..]) if !matches!(options.centre, Some(Centre::Position(_))) => {
                options.centre = Some(Centre::Member(bytes(member)));
                after
            }
            (b"fromlonlat", [longitude, latitude, after @ ..])
                if !matches!(options.centre, Some(Centre::Member(_))) =>
            {
                options.centre = Some(Centre::Position(place(longitude, latitude)?));
                after
            }
            (b"byradius", [radius, unit, after @ ..])
                if !matches!(options.area, Some((Area::Box { .. }, _))) =>
            {
                options.area = Some(circle(radius, unit)?);
                after
            }
            (b"bybox", [width, height, unit, after @ ..])
                if !matches!(options.area, Some((Area::Radius(_), _))) =>
            {
                options.area = Some(rectangle(width, height, unit)?);
                after
            }
            (b"storedist", after) if stores => {
                options.distances = true;
                after
            }
            _ => return Err(CommandError::Syntax.into()),
        };
    }
    if stores && (options.distance || options.hash || options.coordinates) {
        return Err(problem(
            "GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ));
    }
    let Some(centre) = options.centre.clone() else {
        return Err(needs("FROMMEMBER or FROMLONLAT can be specified", name));
    };
    let Some((area, metres)) = options.area.take() else {
        return Err(needs("BYRADIUS and BYBOX can be specified", name));
    };
    if options.any && options.count.is_none() {
        return Err(problem("the ANY argument requires COUNT argument"));
    }
    Ok(std::mem::take(options).command(key, metres, centre, area))
}

fn needs(what: &str, name: &str) -> Problem {
    Problem::Refused(CommandError::Domain {
        code: "geosearch",
        message: format!("exactly one of {what} for {name}"),
    })
}
