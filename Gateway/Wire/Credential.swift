import Contracts
import NIOCore
import ServiceKit

/// What a request has to say who it is from.
enum Credential {
    case none
    /// An OAuth client's name and password (RFC 6749, section 2.3.1); auth checks them.
    case clientPassword
    case token(Place)
    case apiKey(Place)
    /// Nothing that anybody could know somebody by.
    case refused(any Failure)

    static func read(_ head: RequestHead, _ route: Route) -> Credential {
        guard let value = head.place(.authorization) else {
            if let key = head.place(.apiKey) { return .apiKey(key) }
            return .none
        }
        guard !head.has(.apiKey) else { return .refused(GatewayFailure.twoCredentials) }
        return head.with(value) { bytes in
            if bytes.hasWordPrefix("bearer ") {
                let token = Place(Int(value.start) + 7, Int(value.end))
                return isKey(UnsafeRawBufferPointer(rebasing: bytes[7...])) ? .apiKey(token) : .token(token)
            }
            if route.service == .auth, bytes.hasWordPrefix("basic "), head.with(head.path, { $0.starts(with: "/oauth2/".utf8) }) {
                return .clientPassword
            }
            return .refused(AccessFailure.badToken)
        }
    }

    private static func isKey(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.starts(with: "trx_".utf8) && APIKeys.isKey(String(decoding: bytes, as: UTF8.self))
    }
}
