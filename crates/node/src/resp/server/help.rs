//! HELP of every command that has subcommands, made from the table.

use cartograph_resp::Value;
use cartograph_resp::table::CommandInfo;

use super::args::flag;

/// Its subcommands with their summaries, in the form in which Redis gives them.
pub(super) fn of(group: &'static CommandInfo) -> Value {
    let name = group.name.to_uppercase();
    let mut lines = vec![Value::Simple(
        format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:").into(),
    )];
    for sub in group.subcommands {
        let own = sub.name.split_once('|').map_or(sub.name, |(_, own)| own);
        if own == "help" {
            continue;
        }
        lines.push(Value::Simple(own.to_uppercase().into()));
        lines.push(Value::Simple(format!("    {}", sub.summary).into()));
    }
    lines.push(flag("HELP"));
    lines.push(flag("    Print this help."));
    Value::Array(lines)
}
