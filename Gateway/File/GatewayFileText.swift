import Foundation
import Yams

/// The text of a gateway file as nodes, each with its line, and everything that YAML itself finds wrong with it.
struct GatewayFileText {
    static let maximumBytes = 1_048_576
    /// More than so many keys given twice are not looked for.
    private static let maximumDuplicates = 50
    /// A key that is given twice is renamed to this, so that the rest can be read too.
    private static let duplicateMark = "duplicate-of-"

    let root: Node?
    let faults: [GatewayFault]

    init(_ text: String) {
        var faults: [GatewayFault] = [], lines = text.components(separatedBy: "\n"), root: Node?
        guard text.utf8.count <= Self.maximumBytes else {
            self.root = nil
            self.faults = [
                GatewayFault(line: 0, message: "the file is larger than \(Self.maximumBytes) bytes; split off what is not needed")
            ]
            return
        }
        search: for _ in 0...Self.maximumDuplicates {
            do {
                root = try Yams.compose(yaml: lines.joined(separator: "\n"))
                break search
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let key = keys.first ?? "a key"
                faults.append(GatewayFault(line: context.mark.line, message: "\"\(key)\" is given twice here; keep one of the two"))
                guard Self.rename(key, at: context.mark, in: &lines) else { break search }
            } catch {
                faults.append(Self.fault(error))
                break search
            }
        }
        self.root = root
        self.faults = faults
    }

    static func isDuplicate(_ key: String) -> Bool { key.hasPrefix(duplicateMark) }

    private static func rename(_ key: String, at mark: Mark, in lines: inout [String]) -> Bool {
        guard lines.indices.contains(mark.line - 1) else { return false }
        let line = lines[mark.line - 1].unicodeScalars
        guard let start = line.index(line.startIndex, offsetBy: mark.column - 1, limitedBy: line.endIndex) else { return false }
        let rest = String(line[start...])
        guard let range = rest.range(of: key) else { return false }
        lines[mark.line - 1] = String(line[..<start]) + rest.replacingCharacters(in: range, with: "\(duplicateMark)\(UUID().uuidString)")
        return true
    }

    private static func fault(_ error: any Error) -> GatewayFault {
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _):
            GatewayFault(line: mark.line, message: "this is no YAML: \(problem); correct the line, or the one before it")
        case YamlError.reader(let problem, _, _, _):
            GatewayFault(line: 0, message: "this is no YAML: \(problem); save the file as UTF-8")
        default: GatewayFault(line: 0, message: "this is no YAML that can be read; save it as one document of UTF-8 text")
        }
    }
}
