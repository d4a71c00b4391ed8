import Crypto
import Foundation

/// One file `migrations/<service>/NNNN_<what>.sql`, its includes expanded.
package struct Migration: Sendable, Equatable {
    package let service: String
    /// From 1, without gaps.
    package let number: Int
    /// `0001_articles.sql`.
    package let file: String
    package let sql: String
    /// Extensions that the administrator creates before it runs.
    package let extensions: [String]

    /// SHA-256 of the expanded text, in hexadecimal: what was applied must not change afterwards.
    package var checksum: String {
        SHA256.hash(data: Data(sql.utf8)).map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }.joined()
    }

    /// `content/0001_articles.sql`.
    package var path: String { "\(service)/\(file)" }
}

/// Why nothing, or nothing more, was migrated. The sentence is for whoever runs the migration.
package struct MigrationFailure: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// The migrations as files.
///
/// `migrations/<service>/0001_<what>.sql` are applied in order; names that begin with `_` are not services.
/// A line `-- include: _shared/messaging.sql` stands for that file's text, a line `-- extension: pg_trgm` asks for an extension, and
/// `{service}` is the folder's name.
package struct MigrationFolder: Sendable {
    package let migrations: [String: [Migration]]

    /// The names of the services that have a folder, in alphabetical order.
    package var services: [String] { migrations.keys.sorted() }

    package init(path: String) throws {
        var found: [String: [Migration]] = [:]
        let files = FileManager.default
        guard let entries = try? files.contentsOfDirectory(atPath: path) else {
            throw MigrationFailure("there is no folder \(path)")
        }
        for entry in entries where !entry.hasPrefix("_") && !entry.hasPrefix(".") {
            var isFolder: ObjCBool = false
            guard files.fileExists(atPath: "\(path)/\(entry)", isDirectory: &isFolder), isFolder.boolValue else { continue }
            guard Self.isName(entry) else {
                throw MigrationFailure("\(entry) is not a service's name: lowercase letters, digits and underscores, at most 40")
            }
            let names = try files.contentsOfDirectory(atPath: "\(path)/\(entry)").filter { $0.hasSuffix(".sql") }.sorted()
            found[entry] = try names.map { try Self.migration(entry, $0, in: path) }
            try Self.checkOrder(found[entry] ?? [])
        }
        migrations = found
    }

    /// It becomes part of role and schema names (at most 63 bytes with their suffixes).
    static func isName(_ text: String) -> Bool {
        guard (1...40).contains(text.utf8.count), let first = text.utf8.first, (97...122).contains(first) else { return false }
        return text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
    }

    private static func migration(_ service: String, _ file: String, in folder: String) throws -> Migration {
        let parts = file.dropLast(4).split(separator: "_", maxSplits: 1)
        guard parts.count == 2, parts[0].utf8.count == 4, let number = Int(parts[0]), number > 0 else {
            throw MigrationFailure("\(service)/\(file) is not named NNNN_<what>.sql")
        }
        let text = try read("\(folder)/\(service)/\(file)", as: "\(service)/\(file)")
        let (sql, extensions) = try expand(text, of: "\(service)/\(file)") { fragment in
            try read("\(folder)/\(fragment)", as: fragment)
        }
        // A fragment is the same text for every service, but roles bear the service's name. It is a checked name, so it needs no quotes.
        let named = sql.replacing("{service}", with: service)
        return Migration(service: service, number: number, file: file, sql: named, extensions: extensions)
    }

    private static func read(_ path: String, as name: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path), let text = String(validating: data, as: UTF8.self) else {
            throw MigrationFailure("\(name) cannot be read as UTF-8")
        }
        return text
    }

    /// Puts included fragments in their places and gathers the extensions asked for. Fragments include nothing themselves.
    static func expand(
        _ text: String, of name: String, isFragment: Bool = false, fragment: (String) throws -> String
    ) throws -> (sql: String, extensions: [String]) {
        var lines: [String] = []
        var extensions: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if let path = directive("include", line) {
                let file = path.dropFirst("_shared/".count)
                guard !isFragment, path.hasPrefix("_shared/"), path.hasSuffix(".sql"), isName(String(file.dropLast(4))) else {
                    throw MigrationFailure("\(name) may include only _shared/<name>.sql, and a fragment nothing: \(path)")
                }
                let inner = try expand(try fragment(path), of: path, isFragment: true, fragment: fragment)
                lines.append(inner.sql)
                extensions += inner.extensions
            } else {
                if let wanted = directive("extension", line) {
                    guard isName(wanted) else { throw MigrationFailure("\(name) asks for an extension with a bad name") }
                    extensions.append(wanted)
                }
                lines.append(String(line))
            }
        }
        return (lines.joined(separator: "\n"), extensions)
    }

    private static func directive(_ name: String, _ line: Substring) -> String? {
        let prefix = "-- \(name):"
        guard line.hasPrefix(prefix) else { return nil }
        return line.dropFirst(prefix.count).trimmingCharacters(in: .whitespaces)
    }

    private static func checkOrder(_ migrations: [Migration]) throws {
        for (index, migration) in migrations.enumerated() where migration.number != index + 1 {
            throw MigrationFailure(
                migration.number <= index
                    ? "\(migration.path) has a number that is taken" : "number \(index + 1) is missing before \(migration.path)")
        }
    }
}

/// A migration that the database remembers.
package struct AppliedMigration: Sendable, Equatable {
    package let number: Int
    package let file: String
    package let checksum: String

    package init(number: Int, file: String, checksum: String) {
        self.number = number
        self.file = file
        self.checksum = checksum
    }
}

/// What is to be done for one service: decided from the files and the database's memory, without a connection.
package struct MigrationPlan: Sendable, Equatable {
    package let pending: [Migration]
    /// Applied by a newer program than this one; left alone.
    package let unknown: [AppliedMigration]

    /// Throws when an applied file has changed, or when a new one stands before one that is applied.
    package init(files: [Migration], applied: [AppliedMigration]) throws {
        let memory = Dictionary(applied.map { ($0.number, $0) }, uniquingKeysWith: { first, _ in first })
        let last = applied.map(\.number).max() ?? 0
        var pending: [Migration] = []
        for file in files {
            guard let known = memory[file.number] else {
                guard file.number > last else {
                    throw MigrationFailure("\(file.path) stands before number \(last), which is applied already: give it a new number")
                }
                pending.append(file)
                continue
            }
            guard known.checksum == file.checksum else {
                throw MigrationFailure(
                    "\(file.path) has changed since it was applied (as \(known.file)): restore it, and put the change into a new file")
            }
        }
        self.pending = pending
        let numbers = Set(files.map(\.number))
        unknown = applied.filter { !numbers.contains($0.number) }
    }
}
