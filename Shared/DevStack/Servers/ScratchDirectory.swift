import Foundation
import Glibc

/// A directory below the system's temporary one, for as long as this process lives.
package struct ScratchDirectory: Sendable {
    package let path: String

    /// Makes `<prefix>-<process>-<random>`, and removes those of the same prefix whose processes have gone
    /// (a killed test run cannot clean up after itself).
    package init(_ prefix: String) throws {
        let files = FileManager.default
        let root = files.temporaryDirectory.path(percentEncoded: false)
        for name in (try? files.contentsOfDirectory(atPath: root)) ?? [] where name.hasPrefix(prefix + "-") {
            guard let pid = name.dropFirst(prefix.count + 1).split(separator: "-").first.flatMap({ Int32($0) }), pid > 0,
                kill(pid, 0) != 0, errno == ESRCH
            else { continue }
            // Another process may be removing it too, or it may not be ours to remove.
            try? files.removeItem(atPath: root + "/" + name)
        }
        path = root + (root.hasSuffix("/") ? "" : "/") + "\(prefix)-\(getpid())-\(UInt32.random(in: .min ... .max))"
        // Servers that run as another user must be able to pass through it.
        try files.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    package func remove() { try? FileManager.default.removeItem(atPath: path) }
}
