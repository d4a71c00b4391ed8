import Foundation
import HTTPTypes
import Hummingbird
import ServiceKit

/// The one page for operators: tables with captions and headings, in a few lines of style and without a script.
enum AdminHTML {
    /// Seconds after which the page loads itself again, unless it is told not to.
    static let refreshSeconds = 10

    static func response(_ pages: AdminPages, refreshes: Bool) -> Response {
        HTMLPage(html(pages, refreshes: refreshes)).response
    }

    static func html(_ pages: AdminPages, refreshes: Bool) -> String {
        let snapshot = pages.routing.current, config = ConfigView(pages.watch.status, snapshot), groups = pages.sources.upstreams()
        let refresh = refreshes ? "<meta http-equiv=\"refresh\" content=\"\(refreshSeconds)\">" : ""
        let control =
            refreshes
            ? "Loads itself again every \(refreshSeconds) seconds. <a href=\"/admin?refresh=off\">Hold still</a>"
            : "Holds still. <a href=\"/admin\">Load every \(refreshSeconds) seconds</a>"
        let sections: [(id: String, title: String, body: String)] = [
            ("configuration", "Configuration", configuration(config)),
            (
                "upstreams", "Upstreams",
                table("Groups", groups, empty: "No upstream has been spoken to yet.")
                    + table("Replicas", groups.flatMap(\.replicaRows), empty: "No replica is known.")
            ),
            (
                "limits", "Limits",
                table("Policies", LimitView.all(snapshot.file), empty: "") + figures("Since the start", pages.sources.limits())
            ),
            ("cache", "Cache", figures("Since the start", pages.sources.cache())),
            ("connections", "Connections", figures("Now and since the start", pages.sources.connections())),
            ("routes", "Routes", table("Times: to connect, to the first byte, idle", RouteView.all(snapshot.table), empty: "")),
        ]
        let links = sections.map { "<li><a href=\"#\($0.id)\">\($0.title)</a></li>" }.joined()
        let bodies = sections.map {
            "<section aria-labelledby=\"\($0.id)\"><h2 id=\"\($0.id)\">\($0.title)</h2>\n\($0.body)</section>\n"
        }.joined()
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            \(refresh)
            <title>Trionex gateway</title>
            <style>\(style)</style>
            </head>
            <body>
            <header><h1>Gateway</h1><p>\(control)</p><nav aria-label="Sections"><ul>\(links)</ul></nav></header>
            <main>
            \(bodies)</main>
            </body>
            </html>

            """
    }

    private static func configuration(_ config: ConfigView) -> String {
        var notes = ""
        if !config.file.faults.isEmpty {
            notes += list("The file is wrong. What was in force before goes on.", config.file.faults)
        }
        if !config.file.warnings.isEmpty { notes += list("Rules that may have no effect", config.file.warnings) }
        if config.maintenance.all || !config.maintenance.services.isEmpty {
            let closed = config.maintenance.all ? ["everything"] : config.maintenance.services
            notes += list("Closed for maintenance", closed)
        }
        let facts: [(String, String)] = [
            ("File", config.file.path ?? "none, the settings alone"),
            ("Version", config.file.version.isEmpty ? "built in" : config.file.version),
            ("In force since", config.file.loadedAt.map { $0.formatted(.iso8601) } ?? "the start"), ("Generation", "\(config.generation)"),
            ("Rules", "\(config.rules)"), ("Routes", "\(config.routes)"), ("Blocked networks", "\(config.blockedNetworks)"),
            ("Blocked agents", config.blockedAgents.isEmpty ? "none" : config.blockedAgents.joined(separator: ", ")),
            ("Origins", config.origins.isEmpty ? "none" : config.origins.joined(separator: ", ")),
            ("Trusted proxies", "\(config.trustedProxies)"),
        ]
        return notes + rows("In force", ["what", "value"], facts.map { [$0.0, $0.1] })
    }

    private static func list(_ title: String, _ items: [String]) -> String {
        let items = items.map { "<li>\(HTMLPage.escape($0))</li>" }.joined()
        return "<div role=\"note\" class=\"told\"><p><strong>\(HTMLPage.escape(title))</strong></p><ul>\(items)</ul></div>\n"
    }

    private static func figures(_ caption: String, _ figures: AdminSources.Figures) -> String {
        figures.isEmpty ? "<p>Nothing is known of it.</p>\n" : rows(caption, ["what", "number"], figures.map { [$0.name, "\($0.value)"] })
    }

    private static func table<Row: AdminRow>(_ caption: String, _ list: [Row], empty: String) -> String {
        list.isEmpty ? "<p>\(empty)</p>\n" : rows(caption, Row.columns, list.map(\.row))
    }

    /// The first cell of each line is its heading. A wide table scrolls by itself, also with the keyboard.
    private static func rows(_ caption: String, _ columns: [String], _ rows: [[String]]) -> String {
        let heads = columns.map { "<th scope=\"col\">\(HTMLPage.escape($0))</th>" }.joined()
        let lines = rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == 0 ? "<th scope=\"row\">\(HTMLPage.escape(cell))</th>" : "<td>\(HTMLPage.escape(cell))</td>"
            }
            return "<tr>\(cells.joined())</tr>\n"
        }
        let name = HTMLPage.escape(caption)
        return """
            <div class="wide" role="region" aria-label="\(name)" tabindex="0"><table><caption>\(name)</caption>
            <thead><tr>\(heads)</tr></thead>
            <tbody>
            \(lines.joined())</tbody></table></div>

            """
    }

    private static let style = """
        :root{color-scheme:light dark}
        body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem;max-width:110rem}
        nav ul{display:flex;flex-wrap:wrap;gap:1rem;list-style:none;padding:0}
        .wide{overflow-x:auto;margin-bottom:1.5rem}
        table{border-collapse:collapse}
        caption{text-align:left;font-weight:600;padding:.3rem 0}
        th,td{text-align:left;vertical-align:top;padding:.25rem .7rem .25rem 0;border-bottom:1px solid color-mix(in srgb,currentColor 25%,transparent)}
        tbody th{font-weight:500}
        .told{border-left:.3rem solid #b30021;padding:.1rem .8rem;margin:1rem 0}
        a:focus-visible,.wide:focus-visible{outline:3px solid #1a6dd6;outline-offset:2px}
        """
}
