import Contracts
import Crypto
import Foundation
import ServiceKit

/// A challenge that carries, sealed, what it was made for: nothing is stored until somebody answers it, so that asking for many
/// fills no table. An answered one is written down as spent until it would have expired.
///
/// The seal's nonce makes each unlike any other; nobody else can make one.
struct WebAuthnChallenge: Sendable, Equatable {
    enum Purpose: UInt8, Sendable {
        /// A new key for an account.
        case registration = 1
        /// The second factor of a sign-in that has begun.
        case secondFactor = 2
        /// Signing in with a passkey alone: whose is not known yet.
        case passkey = 3
        /// Proving again who one is.
        case stepUp = 4
    }

    /// Seconds in which it must be answered.
    static let lifetime: TimeInterval = 300
    private static let context = "webauthn challenge"

    let purpose: Purpose
    let account: UserID?
    /// What it belongs to: the new key's id, the sign-in that has begun, or the session.
    let occasion: UUID?
    let expiresAt: Date

    init(_ purpose: Purpose, account: UserID?, occasion: UUID?, at now: Date) {
        self.purpose = purpose
        self.account = account
        self.occasion = occasion
        expiresAt = Date(timeIntervalSince1970: (now.timeIntervalSince1970 + Self.lifetime).rounded(.down))
    }

    private static let nobody = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))

    /// The bytes that the authenticator is asked to sign.
    func sealed(with sealing: Sealing) throws -> Data {
        var plain = Data([purpose.rawValue])
        withUnsafeBytes(of: UInt64(expiresAt.timeIntervalSince1970).bigEndian) { plain.append(contentsOf: $0) }
        for id in [account?.uuid, occasion] { withUnsafeBytes(of: (id ?? Self.nobody).uuid) { plain.append(contentsOf: $0) } }
        return try sealing.seal(plain, context: Self.context)
    }

    /// Nil when it is not one of ours. Whether it has expired is for the caller to see.
    init?(opening sealed: Data, with sealing: Sealing) {
        guard let plain = try? sealing.open(sealed, context: Self.context), plain.count == 41,
            let purpose = Purpose(rawValue: plain[plain.startIndex])
        else { return nil }
        let bytes = Array(plain)
        func id(_ offset: Int) -> UUID? {
            let id = bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(fromByteOffset: offset, as: uuid_t.self)) }
            return id == Self.nobody ? nil : id
        }
        self.purpose = purpose
        expiresAt = Date(timeIntervalSince1970: TimeInterval(bytes[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }))
        account = id(9).map { UserID($0) }
        occasion = id(25)
    }

    /// Under what a spent one is written down.
    static func digest(_ sealed: Data) -> Data { Data(SHA256.hash(data: sealed)) }
}
