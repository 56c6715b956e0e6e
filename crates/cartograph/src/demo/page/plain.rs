//! The plain page: what there is, and where. For browsers without script, and to copy lines from.

use std::fmt::Write as _;

use crate::demo::cluster::Demo;

/// What to try, in the order in which it makes sense: cut, write, look, heal.
const EXAMPLES: &str = r#"curl -s PAGE/api/links
curl -s -X PUT PAGE/api/links/A/B -H 'content-type: application/json' -d '{"up":false}'
curl -s -X POST HTTP/v1/carts/42/items -H 'content-type: application/json' -d '{"sku":"apple","quantity":2}'
curl -s PAGE/api/converged
curl -s -X POST PAGE/api/heal
curl -s -X POST PAGE/api/regions/B/kill
curl -s -X POST PAGE/api/regions/B/start"#;

/// The page.
pub(crate) fn index(demo: &Demo) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Cartograph demo</title>\
         <meta name=viewport content='width=device-width'>\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
         table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0}\
         pre{background:#f4f4f4;color:#222;padding:1rem;overflow-x:auto}</style>\
         <h1>Cartograph demo</h1><p>",
    );
    for path in [
        "/",
        "/api/regions",
        "/api/links",
        "/api/converged",
        "/api/converged?deep=1",
    ] {
        let _ = write!(html, "<a href=\"{path}\">{path}</a> &nbsp; ");
    }
    html.push_str("</p><table><tr><th>region<th>node<th>HTTP<th>gRPC<th>Redis</tr>");
    let regions = demo.regions();
    for region in &regions {
        let (name, http, ports) = (&region.name, region.http(), region.ports);
        let _ = write!(html, "<tr><td>{name}<td>{}<td>{http}", region.node.phase().word());
        for path in ["/readyz", "/v1/status", "/metrics"] {
            let _ = write!(html, " <a href=\"{http}{path}\">{path}</a>");
        }
        let own = ports
            .redis
            .map_or_else(|| "embedded".to_owned(), |port| format!("127.0.0.1:{port}"));
        let _ = write!(html, "<td>127.0.0.1:{}<td>{own}</tr>", ports.grpc);
    }
    html.push_str("</table><p>Things to try:</p><pre>");
    let page = format!("http://localhost:{}", demo.base);
    let name = |index: usize| regions.get(index).map_or("", |region| region.name.as_str());
    let http = regions.first().map(|region| region.http()).unwrap_or_default();
    let examples = EXAMPLES.replace("PAGE", &page).replace("HTTP", &http);
    html.push_str(
        &examples
            .replace("/A/B", &format!("/{}/{}", name(0), name(1)))
            .replace("/B/", &format!("/{}/", name(1))),
    );
    html.push_str("</pre></html>\n");
    html
}
