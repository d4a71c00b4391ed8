import Foundation
import Synchronization

/// The last mails, in memory and, when there is a directory, as `.eml` files that outlive the process.
final class MailStore: Sendable {
    /// How many mails are kept; older ones are removed.
    static let limit = 1_000

    private struct State {
        var messages: [MailMessage] = []
        var arrivals = 0
    }
    private let state = Mutex(State())
    private let directory: String?

    /// Takes up what the directory holds.
    init(directory: String?) throws {
        self.directory = directory
        guard let directory else { return }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let ids = try FileManager.default.contentsOfDirectory(atPath: directory)
            .filter { $0.hasSuffix(".eml") }.map { String($0.dropLast(4)) }.sorted()
        let kept = ids.suffix(Self.limit).compactMap { id -> MailMessage? in
            guard let bytes = FileManager.default.contents(atPath: file(id) ?? "") else { return nil }
            let part = MIMEPart(Array(bytes))
            let recipients = (part.header("x-envelope-to") ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            return MailMessage(id: id, from: part.header("x-envelope-from") ?? "", to: recipients, content: Array(bytes))
        }
        state.withLock {
            $0.messages = kept
            $0.arrivals = ids.last.flatMap { Int($0) } ?? 0
        }
    }

    private func file(_ id: String) -> String? { directory.map { "\($0)/\(id).eml" } }

    /// Oldest first; those to one address when there is one.
    func messages(to address: String?) -> [MailMessage] {
        let wanted = address?.lowercased()
        return state.withLock { $0.messages }.filter { message in wanted.map { message.to.contains($0) } ?? true }
    }

    func keep(_ mail: SMTPSession.Mail) throws {
        try state.withLock { state in
            state.arrivals += 1
            let id = String(format: "%08d", state.arrivals)
            if let file = file(id) {
                // The envelope is kept as header fields in front of the others.
                let envelope = "X-Envelope-From: \(mail.from)\r\nX-Envelope-To: \(mail.to.joined(separator: ", "))\r\n"
                try Data(envelope.utf8 + mail.content).write(to: URL(filePath: file))
            }
            state.messages.append(MailMessage(id: id, from: mail.from, to: mail.to, content: mail.content))
            while state.messages.count > Self.limit {
                let oldest = state.messages.removeFirst()
                if let file = file(oldest.id) { try? FileManager.default.removeItem(atPath: file) }
            }
        }
    }
}
