import Contracts
import Crypto
import Foundation
import Hummingbird
import NIOCore
import NIOFoundationCompat

/// Which limits a request counts against.
struct Allowance: Sendable {
    static let signInPath = ["api", "v1", "auth", "login"]
    /// Bodies up to this are held; sign-ins above it are refused.
    static let peekLimit = 65_536

    let limits: GatewaySettings.Limits
    let limiter: RateLimiter

    /// Whoever signed in has an allowance of their own; everybody else shares that of their address.
    func charges(for caller: Caller?, client: ClientAddress, isUpload: Bool) -> [LimitCharge] {
        let subject = caller.map(\.principalText) ?? "address:\(client.limitSubject)"
        let general = LimitCharge(policy: caller == nil ? limits.anonymous : limits.principal, subject: subject)
        return isUpload ? [general, LimitCharge(policy: limits.uploads, subject: subject)] : [general]
    }

    private struct SignIn: Decodable { let email: String }

    /// Reads which account somebody wants to sign in to. Only a digest of it leaves this function.
    func signIn(_ body: Forwarder.Body, client: ClientAddress) async throws -> (LimitCharge, Forwarder.Body) {
        let bytes: ByteBuffer
        switch body {
        case .none: bytes = ByteBuffer()
        case .bytes(let buffer): bytes = buffer
        case .stream(let stream, let length, _):
            if let length, length > Self.peekLimit { throw GatewayFailure.bodyTooLarge(limit: Self.peekLimit) }
            do {
                bytes = try await stream.collect(upTo: Self.peekLimit)
            } catch is NIOTooManyBytesError {
                throw GatewayFailure.bodyTooLarge(limit: Self.peekLimit)
            }
        }
        let account = (try? JSONDecoder().decode(SignIn.self, from: Data(buffer: bytes)))?.email ?? ""
        let normal = account.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
        let digest = SHA256.hash(data: Data("\(normal)\u{0}\(client.limitSubject)".utf8))
        let subject = digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        return (LimitCharge(policy: limits.signIn, subject: subject), .bytes(bytes))
    }
}
