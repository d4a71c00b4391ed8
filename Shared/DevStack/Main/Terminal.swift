import Foundation

/// What the person at the terminal sees: progress on standard output, faults on standard error.
struct Terminal: Sendable {
    let quiet: Bool

    /// A step that went well, or something that happened.
    func say(_ line: String) {
        guard !quiet else { return }
        write("trionex: \(line)\n", to: .standardOutput)
    }

    /// What was asked for; never left out.
    func show(_ text: String) { write(text + "\n", to: .standardOutput) }

    func fail(_ line: String) { write("trionex: \(line)\n", to: .standardError) }

    private func write(_ text: String, to file: FileHandle) {
        // The reader may have gone; there is nobody left to tell.
        try? file.write(contentsOf: Data(text.utf8))
    }
}
