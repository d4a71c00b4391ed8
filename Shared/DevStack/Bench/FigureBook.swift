import DevStack
import Foundation
import Synchronization

/// What was measured, part by part. It is shown while it is measured, and kept in a file between runs, so that the page can be written
/// of parts that were measured one at a time.
final class FigureBook: Sendable {
    struct Table: Codable, Sendable, Equatable {
        var title: String?
        var header: [String]
        var rows: [[String]] = []
    }

    /// One run of one part.
    struct Chapter: Codable, Sendable, Equatable {
        var part: String
        var date: Date
        var command: String
        /// What was built, as git names it, and how.
        var commit: String
        var isRelease: Bool
        var seconds: Double = 0
        var tables: [Table] = []
        var plots: [Plot] = []
        /// Why it did not come to its end.
        var failure: String?
    }

    private let file: String
    private let state: Mutex<(kept: [String: Chapter], current: Chapter?)>

    /// Opens the book in this folder; a new one when there is none, or one of another make.
    init(in folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        file = folder + "/figures.json"
        let kept = FileManager.default.contents(atPath: file).flatMap { try? JSONDecoder().decode([String: Chapter].self, from: $0) }
        state = Mutex((kept ?? [:], nil))
    }

    /// The last run of each part.
    var chapters: [String: Chapter] { state.withLock { $0.kept } }

    /// Measures a part and keeps its figures, also when it fails or takes longer than it may: then with the reason.
    /// Returns whether it came to its end.
    func write(_ part: String, in build: BuildOrigin, within limit: Duration, _ measure: @escaping @Sendable () async throws -> Void) async
        -> Bool
    {
        let start = ContinuousClock.now
        state.withLock {
            $0.current = Chapter(
                part: part, date: Date(), command: build.command(part), commit: build.commit, isRelease: build.isRelease)
        }
        var failure: String?
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await measure() }
                group.addTask {
                    try await Task.sleep(for: limit)
                    throw StackFailure("it was not done within \(Int(limit / .seconds(60))) minutes")
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            failure = "\(error)"
            Self.say("\(error)")
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let kept = state.withLock { state in
            state.current?.seconds = seconds
            state.current?.failure = failure?.split(separator: "\n").first.map(String.init)
            // A debug run does not take the place of a release run's figures.
            state.kept[build.isRelease ? part : part + "-debug"] = state.current
            state.current = nil
            return state.kept
        }
        do { try Self.encoder.encode(kept).write(to: URL(filePath: file), options: .atomic) } catch { Self.say("\(file): \(error)") }
        Self.say(failure == nil ? "\(part) took \(Int(seconds)) s." : "\(part) FAILED after \(Int(seconds)) s.")
        return failure == nil
    }

    // MARK: - Writing a part

    /// A figure of the part that is being measured.
    func row(_ what: String, _ figure: String) { row([what, figure], of: Table(header: ["what", "figure"])) }

    /// A row of a table of the part that is being measured. The table begins with its first row.
    func row(_ cells: [String], of table: Table) {
        let isFirst = state.withLock { state in
            var tables = state.current?.tables ?? []
            let index = tables.firstIndex { $0.title == table.title && $0.header == table.header }
            if index == nil { tables.append(Table(title: table.title, header: table.header)) }
            tables[index ?? tables.count - 1].rows.append(cells)
            state.current?.tables = tables
            return index == nil
        }
        if isFirst {
            if let title = table.title { Swift.print("\n\(title)") }
            Swift.print("\n" + Markdown.row(table.header) + "\n" + Markdown.rule(table.header.count))
        }
        Swift.print(Markdown.row(cells))
        // A reader of a pipe sees each figure as it comes.
        fflush(nil)
    }

    func plot(_ plot: Plot) { state.withLock { $0.current?.plots.append(plot) } }

    /// What is being done: beside the figures, on standard error.
    static func say(_ line: String) { FileHandle.standardError.write(Data("bench: \(line)\n".utf8)) }

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// Tables as Markdown has them.
enum Markdown {
    static func row(_ cells: [String]) -> String { "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |" }
    static func rule(_ count: Int) -> String { "|---" + String(repeating: "|--:", count: max(0, count - 1)) + "|" }

    static func table(_ table: FigureBook.Table) -> String {
        ([row(table.header), rule(table.header.count)] + table.rows.map(row)).joined(separator: "\n")
    }
}
