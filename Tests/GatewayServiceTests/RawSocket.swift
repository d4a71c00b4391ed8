import Foundation
import Glibc

/// A client's TCP connection in bytes: sends what no HTTP client would, reads when told to, and ends as told to.
final class RawSocket {
    struct Refused: Error {}

    let descriptor: Int32

    /// - Parameter receiveBuffer: of the kernel, in bytes: small for a client that does not read; nil as the system has it.
    init(port: Int, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        // `deinit` closes it, also now.
        guard connected == 0 else { throw Refused() }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(descriptor) }

    /// All of it, while the peer takes some within `patience`. Returns how many bytes were taken.
    @discardableResult
    func send(_ bytes: [UInt8], patience: Duration = .seconds(10)) async throws -> Int {
        var sent = 0
        var last = ContinuousClock.now
        while sent < bytes.count, ContinuousClock.now - last < patience {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                sent += count
                last = .now
            } else if errno == EAGAIN || errno == EINTR {
                try await Task.sleep(for: .milliseconds(1))
            } else {
                break
            }
        }
        return sent
    }

    @discardableResult
    func send(_ text: String, patience: Duration = .seconds(10)) async throws -> Int {
        try await send(Array(text.utf8), patience: patience)
    }

    /// What came, up to `most` bytes: nil when nothing did within `patience`; empty at the end of the connection, however it ended.
    func receive(_ most: Int = 65_536, patience: Duration = .seconds(10)) async throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: most)
        let start = ContinuousClock.now
        repeat {
            let count = recv(descriptor, &buffer, most, 0)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 || (errno != EAGAIN && errno != EINTR) { return [] }
            try await Task.sleep(for: .milliseconds(1))
        } while ContinuousClock.now - start < patience
        return nil
    }

    /// All that comes until this text is in it, the connection ends, or nothing came for `patience`.
    func receive(until text: String, patience: Duration = .seconds(10)) async throws -> String {
        var all: [UInt8] = []
        let wanted = Array(text.utf8)
        while let part = try await receive(patience: patience), !part.isEmpty {
            all += part
            if all.firstRange(of: wanted) != nil { break }
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// All that comes until the connection ends, or nothing came for `patience`; and whether it ended.
    func receiveAll(patience: Duration = .seconds(10)) async throws -> (bytes: [UInt8], ended: Bool) {
        var all: [UInt8] = []
        while let part = try await receive(patience: patience) {
            if part.isEmpty { return (all, true) }
            all += part
        }
        return (all, false)
    }

    /// Throws away what comes; the count of it, and whether the connection ended.
    func drain(most: Int = .max, patience: Duration = .seconds(10)) async throws -> (count: Int, ended: Bool) {
        var total = 0
        while total < most, let part = try await receive(1 << 20, patience: patience) {
            if part.isEmpty { return (total, true) }
            total += part.count
        }
        return (total, false)
    }

    /// Nothing more will be sent (FIN one way).
    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The connection ends by RST when this object goes.
    func armReset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }
}

/// A port that listens and takes nobody: connecting to it neither succeeds nor fails.
final class FullListener {
    let port: Int
    private let descriptor: Int32
    private var fillers: [Int32] = []

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 0) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        port = Int(in_port_t(bigEndian: address.sin_port))
        guard isBound else { throw RawSocket.Refused() }
        // The queue of those that wait to be taken is filled; the kernel leaves further ones without an answer.
        for _ in 0..<4 {
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(filler, $0, size) }
            }
            fillers.append(filler)
        }
    }

    deinit {
        for filler in fillers { close(filler) }
        close(descriptor)
    }
}
