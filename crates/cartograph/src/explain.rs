//! Shows why a cart is what it is: line by line who wrote what and when, what was concurrent, which rule decided.
//!
//! The region answers from its live state, its record of conflicts and the tail of its log, and says how far back
//! that reaches. The document is read tolerantly: a field that is missing or null is left out of the picture, and
//! a kind of write that this version does not know is shown by its name.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::number;
use crate::client::Answer;
use crate::exit::{Exit, Failure};
use crate::term::{Paint, Term};
use crate::text::{duration, instant, plain, printable, table};

/// Reads null as the default, which `#[serde(default)]` alone does only for a missing field.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The document, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Explanation {
    #[serde(deserialize_with = "or_default")]
    cart_id: String,
    #[serde(deserialize_with = "or_default")]
    region: String,
    #[serde(deserialize_with = "or_default")]
    lines: Vec<Line>,
    #[serde(deserialize_with = "or_default")]
    conflicts: Vec<Conflict>,
    /// What the log still holds, oldest first.
    #[serde(deserialize_with = "or_default")]
    log: Vec<Write>,
    log_reaches_back_to_ms: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(deserialize_with = "or_default")]
    sku: String,
    /// Null where the cart doors do not show the line.
    quantity: Value,
    /// The number that the store shows, in or out of the cart doors' range.
    shown: Value,
    #[serde(deserialize_with = "or_default")]
    writes: Vec<Write>,
    #[serde(deserialize_with = "or_default")]
    removed: Vec<Write>,
    #[serde(deserialize_with = "or_default")]
    rule: String,
}

/// One write or removal.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Write {
    replica: Value,
    region: Value,
    sequence: Value,
    index: Value,
    at_ms: Value,
    /// The line, where it is not told by its place.
    #[serde(deserialize_with = "or_default")]
    field: String,
    #[serde(deserialize_with = "or_default")]
    kind: String,
    value: Value,
    #[serde(deserialize_with = "or_default")]
    decided: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conflict {
    #[serde(deserialize_with = "or_default")]
    field: String,
    #[serde(deserialize_with = "or_default")]
    rule: String,
    #[serde(deserialize_with = "or_default")]
    winner: Write,
    #[serde(deserialize_with = "or_default")]
    loser: Write,
    at_ms: Value,
}

/// Prints the explanation of a cart; with `sku` that line only.
///
/// # Errors
/// The document is not an explanation, or it has no such line.
pub(crate) fn show(
    answer: &Answer<Value>,
    sku: Option<&str>,
    json: bool,
    term: &Term,
) -> Result<Exit, Failure> {
    if json {
        term.print_json(&answer.value)?;
        return Ok(Exit::Success);
    }
    let explanation = Explanation::deserialize(&answer.value).map_err(|error| {
        Failure::new(
            Exit::Refused,
            format!("the region's explanation cannot be read: {error}"),
        )
        .advise("--json shows it as it came")
    })?;
    if let Some(sku) = sku
        && !explanation.lines.iter().any(|line| line.sku == sku)
    {
        let what = format!(
            "nothing is known of a line `{sku}` in cart {}",
            explanation.cart_id
        );
        return Err(Failure::new(Exit::Refused, what).advise("leave out --sku to see every line"));
    }
    term.print(&explanation.render(sku, term))?;
    let by = printable(&explanation.region);
    term.print(&term.paint(Paint::Dim, &format!("{by} answered in {}", duration(answer.took))))?;
    Ok(Exit::Success)
}

impl Explanation {
    fn render(&self, sku: Option<&str>, term: &Term) -> String {
        let wanted = |name: &str| sku.is_none_or(|sku| sku == name);
        let title = format!(
            "cart {} as {} has it",
            printable(&self.cart_id),
            printable(&self.region)
        );
        let mut parts = vec![term.paint(Paint::Strong, &title)];
        if self.lines.is_empty() {
            parts.push(
                "nothing is known of this cart: no line was written, or it was forgotten everywhere"
                    .to_owned(),
            );
        }
        for line in self.lines.iter().filter(|line| wanted(&line.sku)) {
            let conflicts: Vec<&Conflict> = self.conflicts.iter().filter(|c| c.field == line.sku).collect();
            parts.push(line.render(&conflicts, term));
        }
        let elsewhere = |c: &&Conflict| !self.lines.iter().any(|line| line.sku == c.field);
        let others: Vec<String> = self
            .conflicts
            .iter()
            .filter(elsewhere)
            .filter(|c| wanted(&c.field))
            .map(Conflict::sentence)
            .collect();
        if !others.is_empty() {
            parts.push(format!(
                "{}\n  {}",
                term.paint(Paint::Strong, "other conflicts"),
                others.join("\n  ")
            ));
        }
        let logged = self
            .log
            .iter()
            .filter(|write| wanted(&write.field) || write.field.is_empty());
        let logged: Vec<Vec<String>> = logged.map(|write| write.row(&printable(&write.field))).collect();
        if !logged.is_empty() {
            let rows = table(&[], logged);
            let rows: Vec<String> = rows.lines().map(|row| format!("  {row}")).collect();
            let title = term.paint(Paint::Strong, "in the log, oldest first");
            parts.push(format!("{title}\n{}", rows.join("\n")));
        }
        if let Some(ms) = number(&self.log_reaches_back_to_ms) {
            parts.push(format!(
                "the log reaches back to {}; what was undone before that is not shown",
                instant(ms)
            ));
        }
        parts.join("\n\n")
    }
}

impl Line {
    fn render(&self, conflicts: &[&Conflict], term: &Term) -> String {
        let title = format!("{}  {}", printable(&self.sku), self.quantity_text());
        let mut lines = vec![term.paint(Paint::Strong, &title)];
        let wrote = self.writes.iter().map(|write| write.row("wrote"));
        let removed = self.removed.iter().map(|write| write.row("removed"));
        let rows: Vec<Vec<String>> = wrote.chain(removed).collect();
        if !rows.is_empty() {
            lines.extend(table(&[], rows).lines().map(|row| format!("  {row}")));
        }
        lines.extend(
            conflicts
                .iter()
                .map(|conflict| format!("  concurrent  {}", conflict.sentence())),
        );
        if !self.rule.is_empty() {
            lines.push(format!("  rule  {}", printable(&self.rule)));
        }
        lines.join("\n")
    }

    fn quantity_text(&self) -> String {
        match (&self.quantity, &self.shown) {
            (Value::Null, Value::Null) => "gone".to_owned(),
            (Value::Null, Value::String(shown)) if shown.is_empty() => "gone".to_owned(),
            (Value::Null, shown) => format!("not in the cart (the store has {})", plain(shown)),
            (quantity, _) => plain(quantity),
        }
    }
}

impl Write {
    /// `wrote  2026-...Z  us-central1  add 5  counted  entry 17.0 of 1-9`
    fn row(&self, what: &str) -> Vec<String> {
        vec![
            what.to_owned(),
            number(&self.at_ms).map_or("-".to_owned(), instant),
            self.place(),
            self.action(),
            printable(&self.decided),
            self.entry(),
        ]
    }

    fn place(&self) -> String {
        // An older incarnation may be of a region whose name nobody knows any more.
        let shown = if self.region.is_null() {
            &self.replica
        } else {
            &self.region
        };
        plain(shown)
    }

    fn action(&self) -> String {
        if self.value.is_null() {
            printable(&self.kind)
        } else {
            format!("{} {}", printable(&self.kind), plain(&self.value))
        }
    }

    fn entry(&self) -> String {
        if self.sequence.is_null() {
            return String::new();
        }
        let index = if self.index.is_null() {
            String::new()
        } else {
            format!(".{}", plain(&self.index))
        };
        format!(
            "entry {}{index} of {}",
            plain(&self.sequence),
            plain(&self.replica)
        )
    }

    fn brief(&self) -> String {
        let at = number(&self.at_ms)
            .map(|ms| format!(" at {}", instant(ms)))
            .unwrap_or_default();
        format!("{} in {}{at}", self.action(), self.place())
    }
}

impl Conflict {
    fn sentence(&self) -> String {
        let field = if self.field.is_empty() {
            "the whole cart: ".to_owned()
        } else {
            format!("{}: ", printable(&self.field))
        };
        let seen = number(&self.at_ms)
            .map(|ms| format!(", seen {}", instant(ms)))
            .unwrap_or_default();
        let rule = if self.rule.is_empty() {
            String::new()
        } else {
            format!(" by {}", printable(&self.rule))
        };
        if self.winner == Write::default() && self.loser == Write::default() {
            return format!("{field}{}{seen}", printable(&self.rule));
        }
        format!(
            "{field}{} won over {}{rule}{seen}",
            self.winner.brief(),
            self.loser.brief()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(document: &Value, sku: Option<&str>) -> String {
        Explanation::deserialize(document)
            .unwrap()
            .render(sku, &Term::new(false, true))
    }

    fn full() -> Value {
        let write = |region: &str, replica: &str, sequence: &str, value: &str, decided: &str| {
            json!({"replica": replica, "region": region, "sequence": sequence, "index": 0,
                   "at_ms": "1795237501123", "kind": "set", "value": value, "decided": decided})
        };
        let (winner, loser) = (
            write("eu", "2-9", "4", "5", "winner"),
            write("us", "1-9", "17", "3", "loser"),
        );
        json!({
            "cart_id": "42", "region": "us",
            "lines": [
                {"sku": "A", "quantity": 5, "shown": "5", "writes": [winner, loser],
                 "removed": [{"replica": "3-9", "region": "asia", "sequence": "2", "at_ms": "1795237500000",
                              "kind": "remove"}],
                 "rule": "of two concurrent sets the later wins"},
                {"sku": "B", "quantity": null, "shown": "-1", "writes": [], "removed": [], "rule": ""},
            ],
            "conflicts": [{"field": "A", "rule": "later wins", "winner": winner, "loser": loser,
                           "at_ms": "1795237501200"}],
            "log": [{"replica": "1-9", "region": "us", "sequence": "3", "index": 1, "at_ms": "1795237500000",
                     "kind": "add up to", "field": "C", "value": "2"},
                    {"replica": "3-9", "region": "asia", "sequence": "2", "index": 0, "at_ms": "1795237501000",
                     "kind": "clear", "field": null, "value": null}],
            "log_reaches_back_to_ms": "1795237500000",
        })
    }

    #[test]
    fn a_line_shows_its_writes_what_was_concurrent_and_the_rule() {
        let expected = "\
cart 42 as us has it

A  5
  wrote    2026-11-21 05:05:01.123Z  eu    set 5   winner  entry 4.0 of 2-9
  wrote    2026-11-21 05:05:01.123Z  us    set 3   loser   entry 17.0 of 1-9
  removed  2026-11-21 05:05:00.000Z  asia  remove          entry 2 of 3-9
  concurrent  A: set 5 in eu at 2026-11-21 05:05:01.123Z won over set 3 in us at 2026-11-21 05:05:01.123Z by later \
                        wins, seen 2026-11-21 05:05:01.200Z
  rule  of two concurrent sets the later wins

B  not in the cart (the store has -1)

in the log, oldest first
  C  2026-11-21 05:05:00.000Z  us    add up to 2     entry 3.1 of 1-9
     2026-11-21 05:05:01.000Z  asia  clear           entry 2.0 of 3-9

the log reaches back to 2026-11-21 05:05:00.000Z; what was undone before that is not shown";
        assert_eq!(render(&full(), None), expected);
    }

    #[test]
    fn one_line_can_be_asked_for() {
        let text = render(&full(), Some("B"));
        assert!(text.contains("\nB  not in") && !text.contains("set 5"), "{text}");
    }

    #[test]
    fn missing_null_and_unknown_fields_do_no_harm() {
        assert!(render(&json!({}), None).contains("nothing is known"));
        let odd = json!({
            "cart_id": null, "lines": [{"sku": "A", "quantity": "7", "writes": [{"kind": "teleport"}, {}], "new": 1}],
            "conflicts": [{"field": "Z", "winner": null}], "log_reaches_back_to_ms": null,
        });
        let text = render(&odd, None);
        assert!(
            text.contains("A  7") && text.contains("teleport") && text.contains("other conflicts"),
            "{text}"
        );
    }

    #[test]
    fn what_shoppers_wrote_cannot_drive_the_terminal() {
        let text = render(&json!({"lines": [{"sku": "A\u{1b}[2J", "quantity": 1}]}), None);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
