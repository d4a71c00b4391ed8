import Contracts
import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import NIOFoundationCompat

/// Which limits a request counts against.
struct Allowance: Sendable {
    /// Where somebody shows a password: as JSON, and on the pages of the OpenID provider.
    static let signInPaths = [["api", "v1", "auth", "login"], ["oauth2", "sign-in"]]
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

    /// What nobody in particular asks of auth costs it password hashes, letters and text messages: fewer of these for one address.
    /// Going on with a session is no such thing.
    func credentials(_ path: [String], _ method: HTTPRequest.Method, client: ClientAddress) -> [LimitCharge] {
        guard method == .post, Self.signInPaths.contains(path) || (path.starts(with: ["api", "v1", "auth"]) && path.last != "refresh")
        else { return [] }
        return [LimitCharge(policy: limits.credentials, subject: "address:\(client.limitSubject)")]
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
        let data = Data(buffer: bytes)
        let account = (try? JSONDecoder().decode(SignIn.self, from: data))?.email ?? Self.formField("email", in: data) ?? ""
        let normal = account.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
        let digest = SHA256.hash(data: Data("\(normal)\u{0}\(client.limitSubject)".utf8))
        let subject = digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        return (LimitCharge(policy: limits.signIn, subject: subject), .bytes(bytes))
    }

    private static func formField(_ name: String, in data: Data) -> String? {
        for pair in String(decoding: data, as: UTF8.self).split(separator: "&") where pair.hasPrefix(name + "=") {
            return pair.dropFirst(name.count + 1).replacingOccurrences(of: "+", with: " ").removingPercentEncoding
        }
        return nil
    }
}
