import Foundation

/// The file that a program's output is appended to.
package struct LogFile: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// Its length in bytes; 0 when it is not there.
    package var size: UInt64 {
        ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.uint64Value ?? 0
    }

    /// What was written from this offset on, at most the last 256 KiB of it.
    package func text(from offset: UInt64 = 0) -> String {
        guard let file = FileHandle(forReadingAtPath: path) else { return "" }
        defer { try? file.close() }
        let start = max(offset, size > Self.readLimit ? size - Self.readLimit : 0)
        do {
            try file.seek(toOffset: start)
            return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        } catch {
            return ""
        }
    }

    /// The last lines that say something, for a message about a program that did not work.
    package func lastLines(_ count: Int, from offset: UInt64 = 0) -> String {
        text(from: offset).split(whereSeparator: \.isNewline).suffix(count).map { "    " + $0 }.joined(separator: "\n")
    }

    private static let readLimit: UInt64 = 256 * 1024
}
