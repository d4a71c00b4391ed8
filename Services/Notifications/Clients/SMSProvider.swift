import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix

/// Whoever hands short messages to the telephone networks.
protocol SMSProvider: Sendable {
    /// Hands a message over.
    func send(_ text: String, to number: PhoneNumber) async -> CarryOutcome
    /// Whether the provider has this message already, made since then; nil when it cannot be told.
    func has(_ text: String, to number: PhoneNumber, since time: Date) async -> Bool?
}

/// A provider with Twilio's wire format: `POST /2010-04-01/Accounts/{sid}/Messages.json`, form-encoded, with Basic credentials.
///
/// Their interface takes no idempotency key. So an answer that never came, and a 5xx, are said to be unknown; `has` asks for the
/// number's latest messages to find out.
struct TwilioMessages: SMSProvider {
    let settings: SMSSettings

    /// For a whole exchange.
    static let timeLimit = TimeAmount.seconds(15)
    /// Bytes of an answer.
    static let answerLimit = 256 * 1024
    /// Messages that are looked through for an earlier one.
    static let lookedThrough = 50
    /// Seconds that their clock and ours may differ.
    static let clockSlack: TimeInterval = 120

    func send(_ text: String, to number: PhoneNumber) async -> CarryOutcome {
        var request = self.request(.POST, query: "")
        let fields = [("To", number.rawValue), settings.sender.field, ("Body", text)]
        request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
        request.body = .bytes(ByteBuffer(string: Self.form(fields)))
        let answer: (status: Int, body: ByteBuffer)
        switch await exchange(request) {
        case .answer(let status, let body): answer = (status, body)
        case .notSent(let reason): return .refused(DeliveryRefusal(reason, isFinal: false))
        case .unknown(let reason): return .unknown(reason)
        }
        switch answer.status {
        case 200..<300:
            let message = try? JSONDecoder().decode(Message.self, from: answer.body)
            // It was taken, and could not be handed on: another try may do better, unless the number is to blame.
            if let message, message.hasFailed { return .refused(Self.refusal(status: answer.status, code: message.errorCode)) }
            return .taken
        case 500...599: return .unknown("the SMS provider answered \(answer.status)")
        default:
            let code = (try? JSONDecoder().decode(Refusal.self, from: answer.body))?.code
            return .refused(Self.refusal(status: answer.status, code: code))
        }
    }

    func has(_ text: String, to number: PhoneNumber, since time: Date) async -> Bool? {
        let query = Self.form([("To", number.rawValue), ("PageSize", "\(Self.lookedThrough)")])
        guard case .answer(200, let body) = await exchange(request(.GET, query: "?" + query)),
            let list = try? JSONDecoder().decode(MessageList.self, from: body)
        else { return nil }
        let earliest = time.addingTimeInterval(-Self.clockSlack)
        return list.messages.contains { message in
            // One whose time cannot be read is taken for it: no message is better than the same one twice.
            message.body == text && !message.hasFailed && (message.created.map { $0 >= earliest } ?? true)
        }
    }

    // MARK: - The wire

    /// Numbers that will not take a message however often it is tried (https://www.twilio.com/docs/api/errors): not a number, not a
    /// mobile, unreachable, a region that is switched off, somebody who has said STOP, a text or a sender that is not possible.
    private static let finalCodes: Set<Int> = [
        21211, 21212, 21217, 21219, 21265, 21266, 21401, 21407, 21408, 21421, 21601, 21602, 21604, 21605, 21606, 21608, 21610, 21612,
        21614, 21617, 21618, 21619, 30003, 30004, 30005, 30006, 30007,
    ]
    /// Their word on who we are, which somebody can mend in our settings.
    private static let ourFault: Set<Int> = [401, 403, 404, 408, 409, 425, 429]

    static func refusal(status: Int, code: Int?) -> DeliveryRefusal {
        let isFinal = code.map { finalCodes.contains($0) } ?? false || !ourFault.contains(status) && (400..<500).contains(status)
        return DeliveryRefusal("the SMS provider answered \(status)" + (code.map { ", code \($0)" } ?? ""), isFinal: isFinal)
    }

    private struct Refusal: Decodable {
        let code: Int?
    }

    private struct MessageList: Decodable {
        let messages: [Message]
    }

    private struct Message: Decodable {
        let body: String?
        let status: String?
        let errorCode: Int?
        let dateCreated: String?

        enum CodingKeys: String, CodingKey {
            case body, status
            case errorCode = "error_code"
            case dateCreated = "date_created"
        }

        var hasFailed: Bool { status == "failed" || status == "undelivered" || status == "canceled" }

        /// RFC 5322, section 3.3, in UTC: `Thu, 24 Aug 2023 05:01:45 +0000`.
        var created: Date? {
            guard let dateCreated else { return nil }
            let format = DateFormatter()
            format.locale = Locale(identifier: "en_US_POSIX")
            format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss Z"
            return format.date(from: dateCreated)
        }
    }

    private func request(_ method: HTTPMethod, query: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: "\(settings.url)/2010-04-01/Accounts/\(settings.account)/Messages.json\(query)")
        request.method = method
        let credentials = Data("\(settings.account):\(settings.token)".utf8).base64EncodedString()
        request.headers.add(name: "authorization", value: "Basic \(credentials)")
        request.headers.add(name: "accept", value: "application/json")
        return request
    }

    private enum Exchange {
        case answer(Int, ByteBuffer)
        /// No byte of the request has reached them.
        case notSent(String)
        case unknown(String)
    }

    private func exchange(_ request: HTTPClientRequest) async -> Exchange {
        do {
            let response = try await Self.client.execute(request, timeout: Self.timeLimit)
            return .answer(Int(response.status.code), try await response.body.collect(upTo: Self.answerLimit))
        } catch let error as HTTPClientError where Self.beforeSending.contains(error) {
            return .notSent("the SMS provider cannot be reached: \(error.shortDescription)")
        } catch is NIOConnectionError {
            return .notSent("the SMS provider cannot be reached")
        } catch let error as IOError where Self.unreachable.contains(error.errnoCode) {
            return .notSent("the SMS provider cannot be reached")
        } catch {
            // What it says may name an address; its kind is enough.
            return .unknown("the SMS provider did not answer: \(type(of: error))")
        }
    }

    /// What happens before a request is written.
    private static let beforeSending: [HTTPClientError] = [
        .connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout, .emptyHost, .invalidURL,
    ]

    private static let unreachable: Set<CInt> = [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH]

    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .seconds(5)
        configuration.redirectConfiguration = .disallow
        // A trace goes to our own programs only.
        configuration.tracing.tracer = nil
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private static let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    static func form(_ fields: [(String, String)]) -> String {
        fields.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "")"
        }.joined(separator: "&")
    }
}
