import Configuration
import Foundation

/// Reads settings from the environment, remembers what each means for `--help`, and lists every problem at once.
///
/// A setting `FOO` is the environment variable `TRIONEX_FOO`; `TRIONEX_FOO_FILE` names a file that holds the value,
/// for mounted secrets. Values are held against their range here, so a program never starts with a setting it cannot use.
package struct SettingsReader {
    package struct Setting: Sendable {
        package let variable: String
        package let meaning: String
        package let fallback: String?
    }

    package private(set) var settings: [Setting] = []
    package private(set) var problems: [String] = []
    private let environment: [String: String]
    private let reader: ConfigReader

    package init(environment: [String: String]) {
        self.environment = environment
        reader = ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: environment))
    }

    /// A text; required when there is no `fallback`.
    package mutating func text(_ name: String, default fallback: String? = nil, _ meaning: String) -> String {
        declare(name, meaning, fallback)
        if let value = value(name) { return value }
        if let fallback { return fallback }
        problems.append("TRIONEX_\(name) is not set: \(meaning)")
        return ""
    }

    package mutating func optionalText(_ name: String, _ meaning: String) -> String? {
        declare(name, meaning, nil, optional: true)
        return value(name)
    }

    package mutating func integer(_ name: String, default fallback: Int, in range: ClosedRange<Int>, _ meaning: String) -> Int {
        declare(name, "\(meaning) (\(range.lowerBound) to \(range.upperBound))", String(fallback))
        guard let text = value(name) else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            problems.append("TRIONEX_\(name) is \"\(text)\", but must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return number
    }

    package mutating func flag(_ name: String, default fallback: Bool, _ meaning: String) -> Bool {
        declare(name, "\(meaning) (true or false)", String(fallback))
        guard let text = value(name) else { return fallback }
        switch text.lowercased() {
        case "true", "yes", "1", "on": return true
        case "false", "no", "0", "off": return false
        default:
            problems.append("TRIONEX_\(name) is \"\(text)\", but must be true or false")
            return fallback
        }
    }

    package mutating func choice(_ name: String, default fallback: String, of choices: [String], _ meaning: String) -> String {
        declare(name, "\(meaning) (\(choices.joined(separator: ", ")))", fallback)
        guard let text = value(name) else { return fallback }
        guard choices.contains(text.lowercased()) else {
            problems.append("TRIONEX_\(name) is \"\(text)\", but must be one of \(choices.joined(separator: ", "))")
            return fallback
        }
        return text.lowercased()
    }

    /// Absolute URLs, comma-separated, with one of the schemes.
    package mutating func urls(_ name: String, default fallback: String, schemes: [String], _ meaning: String) -> [String] {
        declare(name, meaning, fallback)
        let parts = (value(name) ?? fallback).split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        for part in parts where !schemes.contains(URL(string: part)?.scheme ?? "") {
            problems.append("TRIONEX_\(name) has an address without \(schemes.map { $0 + "://" }.joined(separator: " or ")) in it")
        }
        return parts
    }

    /// A refusal that a reader found by itself.
    package mutating func refuse(_ problem: String) { problems.append(problem) }

    private mutating func declare(_ name: String, _ meaning: String, _ fallback: String?, optional: Bool = false) {
        settings.append(Setting(variable: "TRIONEX_\(name)", meaning: meaning, fallback: optional ? "none" : fallback))
    }

    private mutating func value(_ name: String) -> String? {
        let key = ConfigKey(["trionex"] + name.lowercased().split(separator: "_").map(String.init))
        if let text = reader.string(forKey: key), !text.isEmpty { return text }
        let fileKey = ConfigKey(key.components + ["file"])
        guard let path = reader.string(forKey: fileKey), !path.isEmpty else { return nil }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            problems.append("TRIONEX_\(name)_FILE names \(path), which cannot be read")
            return nil
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// The settings of one service, read and checked when it starts.
package protocol ServiceSettings: Sendable {
    init(_ reader: inout SettingsReader)
}

/// A service that has no settings of its own.
package struct NoSettings: ServiceSettings {
    package init(_ reader: inout SettingsReader) {}
}
