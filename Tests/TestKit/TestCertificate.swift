import Crypto
import Foundation

/// A certificate that signs itself, for `127.0.0.1` and `localhost`, made for one test (RFC 5280).
package struct TestCertificate {
    package let certificate: String
    package let key: String

    package init(name: String, days: Int = 30) throws {
        let key = P256.Signing.PrivateKey()
        let algorithm = Self.sequence(Self.object([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]))
        let title = Self.sequence(
            Self.tagged(0x31, Self.sequence(Self.object([0x55, 0x04, 0x03]) + Self.tagged(0x0C, Array(name.utf8)))))
        let names = Self.sequence(Self.tagged(0x82, Array("localhost".utf8)) + Self.tagged(0x87, [127, 0, 0, 1]))
        let extensions = Self.tagged(0xA3, Self.sequence(Self.sequence(Self.object([0x55, 0x1D, 0x11]) + Self.tagged(0x04, names))))
        let serial = Self.tagged(0x02, [1] + (0..<8).map { _ in UInt8.random(in: 0...255) })
        let body = Self.sequence(
            Self.tagged(0xA0, Self.tagged(0x02, [2])) + serial + algorithm + title
                + Self.sequence(
                    Self.time(Date(timeIntervalSinceNow: -3_600)) + Self.time(Date(timeIntervalSinceNow: Double(days) * 86_400)))
                + title + Array(key.publicKey.derRepresentation) + extensions)
        let signature = try key.signature(for: Data(body)).derRepresentation
        let whole = Self.sequence(body + algorithm + Self.tagged(0x03, [0] + Array(signature)))
        let base64 = Data(whole).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        certificate = "-----BEGIN CERTIFICATE-----\n\(base64)\n-----END CERTIFICATE-----\n"
        self.key = key.pemRepresentation + "\n"
    }

    private static func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        switch content.count {
        case ..<128: [tag, UInt8(content.count)] + content
        case ..<256: [tag, 0x81, UInt8(content.count)] + content
        default: [tag, 0x82, UInt8(content.count >> 8), UInt8(content.count & 255)] + content
        }
    }

    private static func sequence(_ content: [UInt8]) -> [UInt8] { tagged(0x30, content) }
    private static func object(_ bytes: [UInt8]) -> [UInt8] { tagged(0x06, bytes) }

    /// UTCTime, which ends with the year 2049.
    private static func time(_ date: Date) -> [UInt8] {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(secondsFromGMT: 0) ?? .current
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: date)
        let numbers = [(parts.year ?? 0) % 100, parts.month ?? 1, parts.day ?? 1, parts.hour ?? 0, parts.minute ?? 0, parts.second ?? 0]
        return tagged(0x17, Array(numbers.map { $0 < 10 ? "0\($0)" : "\($0)" }.joined().utf8) + [0x5A])
    }
}
