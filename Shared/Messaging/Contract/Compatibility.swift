package import Contracts

/// What may change in an event's schema within its version: optional fields may be added, and nothing else.
///
/// Two readers judge. A consumer built against the old schema reads new messages: what it reads must still be there, and of the same
/// type. A consumer built against the new schema reads messages published before: it must not need what they lack.
package struct Compatibility: Sendable, Equatable {
    /// Where in the payload (a JSON pointer; `*` stands for any item or key), and why it breaks somebody.
    package private(set) var breaks: [String] = []
    /// What was added, harmlessly.
    package private(set) var additions: [String] = []

    private static let annotations: Set<String> = ["title", "description", "examples", "default", "deprecated", "$comment"]

    package init(from old: JSONValue, to new: JSONValue) { compare(old, new, "") }

    private mutating func compare(_ old: JSONValue, _ new: JSONValue, _ path: String) {
        let place = path.isEmpty ? "/" : path
        guard case .object(let before) = old, case .object(let after) = new else {
            if old != new { breaks.append("\(place) has another schema") }
            return
        }
        if before["type"] != after["type"] {
            breaks.append("\(place) was \(Self.text(before["type"])) and is \(Self.text(after["type"])): consumers read it as it was")
            return
        }
        compareProperties(before, after, path)
        compareChoices(before["enum"]?.array, after["enum"]?.array, place)
        for inner in ["items", "additionalProperties"] where before[inner] != nil || after[inner] != nil {
            compare(before[inner] ?? .null, after[inner] ?? .null, path + "/*")
        }
        let looked: Set<String> = ["type", "properties", "required", "enum", "items", "additionalProperties"]
        let rest = Set(before.keys).union(after.keys).subtracting(looked).subtracting(Self.annotations)
        for keyword in rest.sorted() where before[keyword] != after[keyword] {
            breaks.append(
                "\(place) had \(keyword) \(Self.text(before[keyword])) and has \(Self.text(after[keyword])): a wider one breaks consumers,"
                    + " a narrower one breaks the reading of messages published before")
        }
    }

    private mutating func compareProperties(_ before: [String: JSONValue], _ after: [String: JSONValue], _ path: String) {
        guard case .object(let old) = before["properties"] ?? [:], case .object(let new) = after["properties"] ?? [:] else { return }
        let wasRequired = Set((before["required"] ?? []).array.compactMap(\.string))
        let isRequired = Set((after["required"] ?? []).array.compactMap(\.string))
        for name in Set(old.keys).union(new.keys).sorted() {
            let place = "\(path)/\(name)"
            switch (old[name], new[name]) {
            case (.some, nil): breaks.append("\(place) was removed or renamed: consumers read it")
            case (nil, .some) where isRequired.contains(name):
                breaks.append("\(place) is new and required: messages published before do not have it; make it optional")
            case (nil, .some): additions.append("\(place) is new")
            case (.some(let was), .some(let `is`)):
                if wasRequired.contains(name), !isRequired.contains(name) {
                    breaks.append("\(place) was always there and may now be missing: consumers rely on it")
                }
                if !wasRequired.contains(name), isRequired.contains(name) {
                    breaks.append("\(place) was optional and is now required: messages published before may lack it")
                }
                compare(was, `is`, place)
            case (nil, nil): continue
            }
        }
    }

    private mutating func compareChoices(_ before: [JSONValue]?, _ after: [JSONValue]?, _ place: String) {
        guard before != after else { return }
        guard let before, let after else {
            breaks.append("\(place) \(before == nil ? "has got" : "has lost") its list of values")
            return
        }
        for value in after where !before.contains(value) {
            breaks.append("\(place) may now be \(Self.text(value)): consumers built before do not know it")
        }
        for value in before where !after.contains(value) {
            breaks.append("\(place) may no longer be \(Self.text(value)): messages published before may be")
        }
    }

    private static func text(_ value: JSONValue?) -> String {
        guard let value else { return "none" }
        return value.string ?? (try? JSON.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "another"
    }
}
