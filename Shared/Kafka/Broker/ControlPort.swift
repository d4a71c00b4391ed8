import Foundation

/// Takes commands as lines: from standard input, and from whoever connects to a socket in the file system.
struct ControlPort: Sendable {
    /// A line longer than this ends the conversation.
    private static let lineLimit = 4_096

    let cluster: MockCluster
    let quit: @Sendable () -> Void

    /// Answers go to standard output. Ends at the end of input, then calls `ended`.
    func serveStandardInput(ended: @escaping @Sendable () -> Void) {
        Thread.detachNewThread {
            while let line = readLine() { answer(line).forEach { say($0 + "\n", to: STDOUT_FILENO) } }
            ended()
        }
    }

    /// Listens on a Unix socket that only its owner may use. A file left there by an earlier run is replaced.
    func serveSocket(at path: String) throws {
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw BrokerFailure("no socket for --control") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw BrokerFailure("--control: the path is too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        unlink(path)
        let bound = withUnsafeBytes(of: &address) { raw in
            bind(listener, raw.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(raw.count))
        }
        guard bound == 0, chmod(path, 0o600) == 0, listen(listener, 8) == 0 else {
            throw BrokerFailure("--control: cannot listen at \(path): \(String(cString: strerror(errno)))")
        }
        Thread.detachNewThread {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { continue }
                Thread.detachNewThread { converse(on: connection) }
            }
        }
    }

    private func converse(on connection: CInt) {
        defer { close(connection) }
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1_024)
        while pending.count < Self.lineLimit {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            pending += buffer[..<count]
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end], as: UTF8.self)
                pending.removeSubrange(...end)
                for answer in answer(line) { say(answer + "\n", to: connection) }
            }
        }
    }

    private func answer(_ line: String) -> [String] {
        guard line.contains(where: { !$0.isWhitespace }) else { return [] }
        do {
            let command = try BrokerCommand(line)
            let answers = try cluster.obey(command)
            if command == .quit { quit() }
            return answers + ["ok"]
        } catch {
            return ["error \(error)"]
        }
    }

    private func say(_ text: String, to file: CInt) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            sent += count
        }
    }
}
