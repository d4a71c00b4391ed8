import Foundation
import Logging
import Synchronization

/// The text of PDF files, which `pdftotext` (poppler) reads in a process of its own, confined. Its content goes there through memory and
/// never lies on a disk.
final class PDFText: Sendable {
    /// Files that are read at once; each may take the memory of `ConfinedProgram`.
    static let atOnce = 2
    static let timeLimit = Duration.seconds(10)
    static let maximumPages = 2_000

    private let program: ConfinedProgram?
    private let name: String
    private let logger: Logger
    private let state = Mutex((running: 0, saidMissing: false))

    init(program name: String, logger: Logger) {
        self.name = name
        self.logger = logger
        program = ConfinedProgram(
            name, ["-q", "-enc", "UTF-8", "-eol", "unix", "-nopgbrk", "-l", "\(Self.maximumPages)", "-", "-"])
    }

    /// Nil when the program is not installed. What is no PDF, is encrypted or asks too much has no text, or as much as was read of it.
    ///
    /// Throws `FileFailure.textsBusy` when as many are being read as may be.
    func read(maximumBytes: Int, _ content: () async throws -> Data) async throws -> (text: Data, isCut: Bool)? {
        guard let program else {
            sayMissing()
            return nil
        }
        let isFree = state.withLock { state in
            guard state.running < Self.atOnce else { return false }
            state.running += 1
            return true
        }
        guard isFree else { throw FileFailure.textsBusy }
        defer { state.withLock { $0.running -= 1 } }
        let output = try await program.run(input: try await content(), maximumOutput: maximumBytes, within: Self.timeLimit)
        if output.ranOut { logger.notice("a PDF took too long to be read and has the text that was read until then") }
        return (output.bytes, output.isCut)
    }

    private func sayMissing() {
        let isFirst = state.withLock { state in
            defer { state.saidMissing = true }
            return !state.saidMissing
        }
        if isFirst {
            logger.warning(
                "PDF files have no text here: install poppler-utils, or set TRIONEX_FILES_PDFTOTEXT", metadata: ["program": "\(name)"])
        }
    }
}
