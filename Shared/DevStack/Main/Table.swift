import DevStack
import Foundation

/// The tables that `trionex-dev` prints.
enum Table {
    static func addresses(_ addresses: StackAddresses, settings: StackSettings, token: String?) -> String {
        var rows: [(String, String)] = []
        if !addresses.gateway.isEmpty {
            rows += [
                ("Platform", addresses.gateway + "/api/v1"), ("API documents", addresses.gateway + "/docs"),
                ("Gateway's health and metrics", addresses.admin),
            ]
        }
        rows += addresses.programs.filter { $0.key != "gateway" }.sorted { $0.value < $1.value }.map { ($0.key, $0.value) }
        if let mail = addresses.mail { rows.append(("Mails and short messages", mail + "/")) }
        rows += [
            ("PostgreSQL", addresses.database), ("Redis", addresses.redis), ("Broker", addresses.kafka), ("Logs", settings.logDirectory),
        ]
        if let token {
            rows += [("Demo sign-in", "\(DemoOrganization.email)  \(DemoOrganization.password)"), ("Access token (15 minutes)", token)]
            if settings.hasOperator {
                rows.append(("Platform administrator", "\(DemoOrganization.operatorEmail)  \(DemoOrganization.operatorPassword)"))
            }
        }
        return "\n" + columns(rows) + "\n\nCtrl-C stops everything. What is stored stays in .run; make clean removes it.\n"
    }

    static func memory(of addresses: StackAddresses) -> String {
        var rows: [(String, String)] = [("Platform", addresses.gateway)]
        var total = 0
        for (name, pid) in addresses.processes.sorted(by: { $0.key < $1.key }) {
            let kilobytes = residentKilobytes(of: pid)
            total += kilobytes ?? 0
            rows.append((name, kilobytes.map { "process \(pid), \($0 / 1024) MB resident" } ?? "process \(pid) has gone; see its log"))
        }
        rows.append(("all programs", "\(total / 1024) MB resident"))
        return columns(rows)
    }

    private static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { "  " + $0.0.padding(toLength: width, withPad: " ", startingAt: 0) + "  " + $0.1 }.joined(separator: "\n")
    }

    /// VmRSS of proc(5).
    private static func residentKilobytes(of pid: Int32) -> Int? {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap
        { Int($0) }
    }
}
