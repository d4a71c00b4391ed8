package import Contracts
package import Foundation

/// The schemas of all events as they were last accepted: what is published is held against them. A file for each event, in git.
package struct ContractBaseline: Sendable, Equatable {
    /// One event, as it is now or as it was accepted.
    package struct Entry: Codable, Sendable, Equatable {
        package let type: String
        package let topic: String
        /// JSON Schema of the payload.
        package let schema: JSONValue
        /// Payloads of this version that were published, the newest last: every one must be read for as long as the version lives.
        package var examples: [JSONValue]

        package init(type: String, topic: String, schema: JSONValue, examples: [JSONValue]) {
            self.type = type
            self.topic = topic
            self.schema = schema
            self.examples = examples
        }
    }

    /// What differs from the baseline.
    package struct Difference: Sendable, Equatable {
        /// One sentence each, with the event's type and what to do instead.
        package var breaks: [String] = []
        package var additions: [String] = []
        package var isNone: Bool { breaks.isEmpty && additions.isEmpty }
    }

    package private(set) var entries: [String: Entry]

    package init(_ entries: [Entry] = []) { self.entries = Dictionary(entries.map { ($0.type, $0) }, uniquingKeysWith: { $1 }) }

    /// Reads `<type>.json` of a folder. Throws what Foundation and decoding do.
    package init(folder: URL) throws {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        self.init(try files.filter { $0.pathExtension == "json" }.map { try JSON.decode(Entry.self, from: Data(contentsOf: $0)) })
    }

    /// Compares what is published now.
    package func difference(to current: [Entry]) -> Difference {
        var difference = Difference()
        let now = Dictionary(current.map { ($0.type, $0) }, uniquingKeysWith: { $1 })
        for (type, entry) in entries.sorted(by: { $0.key < $1.key }) {
            guard let found = now[type] else {
                difference.breaks.append("\(type) is no longer declared: consumers wait for it. Keep it until nobody does, then retire it.")
                continue
            }
            if found.topic != entry.topic {
                difference.breaks.append("\(type) was published on \(entry.topic) and is on \(found.topic): consumers read the former.")
            }
            let compatibility = Compatibility(from: entry.schema, to: found.schema)
            difference.breaks += compatibility.breaks.map { "\(type): \($0). Declare \(Self.next(type)) and publish it beside this one." }
            difference.additions += compatibility.additions.map { "\(type): \($0)" }
        }
        difference.additions += now.keys.filter { entries[$0] == nil }.sorted().map { "\($0) is a new event" }
        return difference
    }

    /// Takes what is published now as the new baseline, keeping the examples of before. `retired` events are forgotten.
    /// Returns the breaks that stand against it; when there are any, nothing has changed.
    package mutating func accept(_ current: [Entry], retired: Set<String> = []) -> [String] {
        var next = self
        for type in retired { next.entries[type] = nil }
        let breaks = next.difference(to: current).breaks
        guard breaks.isEmpty else { return breaks }
        for entry in current {
            let known = next.entries[entry.type]?.examples ?? []
            let examples = known + entry.examples.filter { !known.contains($0) }
            next.entries[entry.type] = Entry(type: entry.type, topic: entry.topic, schema: entry.schema, examples: examples)
        }
        self = next
        return []
    }

    /// Writes a file for each event, and removes those of events that are retired.
    package func write(to folder: URL) throws {
        let encoder = JSON.encoder()
        encoder.outputFormatting.insert(.prettyPrinted)
        let files = FileManager.default
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        for entry in entries.values {
            try (try encoder.encode(entry) + Data("\n".utf8)).write(to: folder.appending(path: entry.type + ".json"))
        }
        for file in try files.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) where file.pathExtension == "json" {
            if entries[file.deletingPathExtension().lastPathComponent] == nil { try files.removeItem(at: file) }
        }
    }

    /// `….published.v1` → `….published.v2`.
    private static func next(_ type: String) -> String {
        guard let dot = type.lastIndex(of: "."), let version = Int(type[dot...].dropFirst(2)) else { return "another version" }
        return "\(type[...dot])v\(version + 1)"
    }
}
