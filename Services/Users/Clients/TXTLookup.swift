import Contracts
import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// Asks a name server for TXT records (RFC 1035, over UDP with EDNS of RFC 6891; over TCP when an answer was cut off).
///
/// Sockets are connected and have a port of their own, and every question a random number, so that only the server that was asked
/// can answer (RFC 5452).
struct TXTLookup: Sendable {
    static let timeout = TimeAmount.seconds(2)
    static let attempts = 3
    /// What we take over UDP: more would be fragmented.
    static let udpBytes = 1_232

    /// `host:port`.
    let server: String

    /// The name server of the machine, or the one that a setting names.
    static func systemServer(_ file: String = "/etc/resolv.conf") -> String {
        let lines = (try? String(contentsOfFile: file, encoding: .utf8))?.split(separator: "\n") ?? []
        for line in lines {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count >= 2, words[0] == "nameserver" { return "\(words[1].contains(":") ? "[\(words[1])]" : words[1]):53" }
        }
        return "127.0.0.1:53"
    }

    /// The texts of the name's TXT records; none when there are none, or no such name. Throws `DependencyFailure`.
    func records(_ name: String) async throws -> [String] {
        let address = try resolved()
        var reason = "no answer"
        for _ in 0..<Self.attempts {
            do {
                let question = DNSQuestion(name: name)
                var answer = try question.answer(try await ask(question.bytes, over: .udp, at: address))
                if answer.isCutOff { answer = try question.answer(try await ask(question.bytes, over: .tcp, at: address)) }
                return answer.texts
            } catch let failure as DNSQuestion.BadAnswer {
                reason = failure.reason
            } catch {
                reason = "\(error)"
            }
        }
        throw DependencyFailure("dns", reason: reason)
    }

    private func resolved() throws -> SocketAddress {
        guard let colon = server.lastIndex(of: ":"), let port = Int(server[server.index(after: colon)...]) else {
            throw DependencyFailure("dns", reason: "\(server) is not host:port")
        }
        let host = server[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        do {
            return try SocketAddress(ipAddress: host, port: port)
        } catch {
            throw DependencyFailure("dns", reason: "\(host) is not the address of a name server")
        }
    }

    private enum Transport { case udp, tcp }

    private func ask(_ question: [UInt8], over transport: Transport, at address: SocketAddress) async throws -> [UInt8] {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let promise = loop.makePromise(of: [UInt8].self)
        let deadline = loop.scheduleTask(in: Self.timeout) { promise.fail(DNSQuestion.BadAnswer(reason: "no answer in time")) }
        defer { deadline.cancel() }
        let channel: any Channel
        do {
            switch transport {
            case .udp:
                channel = try await DatagramBootstrap(group: loop).channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramAnswer(promise)) }
                }.connect(to: address).get()
                try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: question)))
            case .tcp:
                channel = try await ClientBootstrap(group: loop).connectTimeout(Self.timeout).channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(StreamAnswer(promise)) }
                }.connect(to: address).get()
                var framed = ByteBuffer(integer: UInt16(question.count))
                framed.writeBytes(question)
                try await channel.writeAndFlush(framed)
            }
        } catch {
            promise.fail(error)
            return try await promise.futureResult.get()
        }
        defer { channel.close(promise: nil) }
        return try await promise.futureResult.get()
    }
}

/// The first datagram that comes.
private final class DatagramAnswer: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let promise: EventLoopPromise<[UInt8]>

    init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { promise.succeed(Array(unwrapInboundIn(data).data.readableBytesView)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
}

/// One message behind its length (RFC 1035, section 4.2.2).
private final class StreamAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<[UInt8]>
    private var received = ByteBuffer()

    init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var chunk = unwrapInboundIn(data)
        received.writeBuffer(&chunk)
        guard let length = received.getInteger(at: 0, as: UInt16.self), let message = received.getBytes(at: 2, length: Int(length)) else {
            return
        }
        promise.succeed(message)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(DNSQuestion.BadAnswer(reason: "the connection was closed")) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
}

/// One question for TXT records and the reading of its answer.
struct DNSQuestion: Sendable {
    struct BadAnswer: Error {
        let reason: String
    }

    struct Answer: Sendable, Equatable {
        let texts: [String]
        let isCutOff: Bool
    }

    private static let txt: UInt16 = 16
    private static let internet: UInt16 = 1

    let bytes: [UInt8]
    private let number: UInt16
    private let section: [UInt8]

    init(name: String, number: UInt16 = .random(in: .min ... .max)) {
        self.number = number
        var section: [UInt8] = []
        for label in name.split(separator: ".") { section += [UInt8(truncatingIfNeeded: label.utf8.count)] + Array(label.utf8) }
        section += [0] + Self.pair(Self.txt) + Self.pair(Self.internet)
        self.section = section
        // Recursion desired; one question; one additional record, which says how much we take over UDP.
        let head = Self.pair(number) + [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
        bytes = head + section + [0, 0, 41] + Self.pair(UInt16(TXTLookup.udpBytes)) + [0, 0, 0, 0, 0, 0]
    }

    private static func pair(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xFF)] }

    /// Throws `BadAnswer` for what answers another question, or is no answer that can be read.
    func answer(_ message: [UInt8]) throws(BadAnswer) -> Answer {
        var reader = MessageReader(message)
        guard try reader.integer() == number else { throw BadAnswer(reason: "an answer to another question") }
        let flags = try reader.integer()
        guard flags & 0x8000 != 0 else { throw BadAnswer(reason: "a question instead of an answer") }
        let questions = try reader.integer(), answers = try reader.integer()
        _ = try reader.take(4)
        let code = flags & 0x000F
        if code == 3 { return Answer(texts: [], isCutOff: false) }
        guard code == 0 else { throw BadAnswer(reason: "the name server answered with code \(code)") }
        guard questions == 1, Self.lowercased(try reader.take(section.count)) == Self.lowercased(section[...]) else {
            throw BadAnswer(reason: "an answer to another question")
        }
        if flags & 0x0200 != 0 { return Answer(texts: [], isCutOff: true) }
        var texts: [String] = []
        for _ in 0..<answers {
            try reader.skipName()
            let type = try reader.integer(), space = try reader.integer()
            _ = try reader.take(4)
            let length = Int(try reader.integer())
            let data = try reader.take(length)
            if type == Self.txt, space == Self.internet { texts.append(Self.text(data)) }
        }
        return Answer(texts: texts, isCutOff: false)
    }

    /// Names are compared without regard to case (RFC 1035, section 2.3.3).
    private static func lowercased(_ bytes: ArraySlice<UInt8>) -> [UInt8] { bytes.map { (65...90).contains($0) ? $0 + 32 : $0 } }

    /// The character strings of one record, put together.
    private static func text(_ data: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = [], rest = data
        while let length = rest.first {
            rest = rest.dropFirst()
            bytes += rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A DNS message read from front to back; every length is checked.
private struct MessageReader {
    private var rest: ArraySlice<UInt8>

    init(_ message: [UInt8]) { rest = message[...] }

    mutating func take(_ count: Int) throws(DNSQuestion.BadAnswer) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw DNSQuestion.BadAnswer(reason: "an answer that ends too early") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func integer() throws(DNSQuestion.BadAnswer) -> UInt16 {
        let bytes = try take(2)
        return UInt16(bytes[bytes.startIndex]) << 8 | UInt16(bytes[bytes.startIndex + 1])
    }

    /// Labels up to the empty one, or up to a pointer to where the name goes on.
    mutating func skipName() throws(DNSQuestion.BadAnswer) {
        while true {
            let length = try take(1).first ?? 0
            if length == 0 { return }
            if length >= 0xC0 {
                _ = try take(1)
                return
            }
            guard length < 0x40 else { throw DNSQuestion.BadAnswer(reason: "a label of an unknown kind") }
            _ = try take(Int(length))
        }
    }
}
