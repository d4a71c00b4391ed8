import Foundation
import Glibc

/// TCP ports on 127.0.0.1.
package enum Ports {
    /// Ports that are free now and follow one another; the first of them. Another process may take one before you do.
    package static func free(_ count: Int = 1) throws -> Int {
        for _ in 0..<Self.attempts {
            guard let first = bindable(port: 0) else { break }
            if first + count - 1 <= 65_535, (first..<first + count).dropFirst().allSatisfy({ bindable(port: $0) != nil }) { return first }
        }
        throw StackFailure("No \(count) free TCP ports in a row were found on 127.0.0.1.")
    }

    /// Whether a server could listen there.
    package static func isFree(_ port: Int) -> Bool { bindable(port: port) != nil }

    /// Throws a `StackFailure` that names the port, who wanted it, and who holds it, when it is in use.
    package static func require(_ port: Int, for purpose: String, setting: String? = nil) throws {
        guard !isFree(port) else { return }
        let holder = PortHolder.find(port).map { ", by \($0)" } ?? ""
        let change = setting.map { ", or choose another with \($0)" } ?? ""
        throw StackFailure("Port \(port) for \(purpose) is already in use on 127.0.0.1\(holder). Stop what uses it\(change).")
    }

    private static func bindable(port: Int) -> Int? {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        defer { close(socket) }
        // As the servers do: connections still in TIME_WAIT do not make a port busy.
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(port: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, size) } }
        guard bound == 0, listen(socket, 1) == 0 else { return nil }
        var length = size
        let named = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        return named == 0 ? Int(UInt16(bigEndian: address.sin_port)) : nil
    }

    static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private static let attempts = 50
}

/// Which process listens on a port, read from /proc; only found when we may look into that process.
enum PortHolder {
    /// Looks more than once: a process that ends while /proc is read can make a whole reading fail.
    static func find(_ port: Int) -> String? {
        for _ in 0..<attempts {
            if let holder = look(port) { return holder }
        }
        return nil
    }

    private static let attempts = 3

    private static func look(_ port: Int) -> String? {
        guard let inode = listeningSocket(port) else { return nil }
        let files = FileManager.default
        for entry in (try? files.contentsOfDirectory(atPath: "/proc")) ?? [] where Int(entry) != nil {
            let descriptors = (try? files.contentsOfDirectory(atPath: "/proc/\(entry)/fd")) ?? []
            guard
                descriptors.contains(where: {
                    (try? files.destinationOfSymbolicLink(atPath: "/proc/\(entry)/fd/\($0)")) == "socket:[\(inode)]"
                })
            else { continue }
            let name = (try? String(contentsOfFile: "/proc/\(entry)/comm", encoding: .utf8))?.trimmingCharacters(in: .newlines)
            return "process \(entry)" + (name.map { " (\($0))" } ?? "")
        }
        return nil
    }

    /// The inode of the socket that listens on the port, from /proc/net/tcp and tcp6 (proc(5); state 0A is LISTEN).
    private static func listeningSocket(_ port: Int) -> String? {
        let suffix = ":" + String(format: "%04X", port)
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in ((try? String(contentsOfFile: table, encoding: .utf8)) ?? "").split(separator: "\n") {
                let columns = line.split(separator: " ")
                if columns.count > 9, columns[1].hasSuffix(suffix), columns[3] == "0A" { return String(columns[9]) }
            }
        }
        return nil
    }
}
