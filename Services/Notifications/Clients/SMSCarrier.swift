import Contracts
import Foundation
import Redis
import ServiceKit
import Synchronization

/// Letters as short messages: each at most once, as far as the provider can tell, and not too many to one number.
final class SMSCarrier: LetterCarrier {
    private let settings: SMSSettings
    private let provider: any SMSProvider
    private let redis: Redis
    private let sealing: Sealing
    private let lastTrouble = Mutex<String?>(nil)

    /// Characters of a message: two parts at most, whatever the alphabet.
    static let longestText = 306
    static let hour = 3_600

    init(_ settings: SMSSettings, _ provider: any SMSProvider, redis: Redis, sealing: Sealing) {
        self.settings = settings
        self.provider = provider
        self.redis = redis
        self.sealing = sealing
    }

    /// Why the last message did not go out, when the provider was to blame and not the message; nil while all is well.
    var trouble: String? { lastTrouble.withLock { $0 } }

    func start() {}
    func stop() {}

    func carry(_ content: LetterContent, of letter: Letter, inDoubt: Bool) async -> CarryOutcome {
        guard let number = PhoneNumber(rawValue: content.to), !content.text.isEmpty, content.text.count <= Self.longestText else {
            return .refused(DeliveryRefusal("there is nothing to send, or nobody to send it to", isFinal: true))
        }
        guard settings.prefixes.isEmpty || settings.prefixes.contains(where: { number.rawValue.hasPrefix($0) }) else {
            return .refused(DeliveryRefusal("short messages to numbers of this country are not sent", isFinal: true))
        }
        if inDoubt {
            switch await provider.has(content.text, to: number, since: letter.createdAt) {
            case true?: return .taken
            case nil: return .unknown("the SMS provider cannot tell whether it has the message")
            case false?: break
            }
        } else if letter.attempts == 1, await !isWithinQuota(number) {
            return .refused(DeliveryRefusal("this number has had \(settings.hourly) short messages within an hour", isFinal: true))
        }
        let outcome = await provider.send(content.text, to: number)
        lastTrouble.withLock { trouble in
            switch outcome {
            case .taken: trouble = nil
            case .refused(let refusal): trouble = refusal.isFinal ? nil : refusal.reason
            case .unknown(let reason): trouble = reason
            }
        }
        return outcome
    }

    /// Counts the message; what it counts by is no number. While Redis is away nothing is counted: whoever makes codes has limits of
    /// their own, and this one is the last of several.
    private func isWithinQuota(_ number: PhoneNumber) async -> Bool {
        let name = Base64URL.encode(sealing.digest(number.rawValue, context: "telephone number"))
        let answer = try? await redis.run(Self.count, keys: ["trionex:notifications:sms:\(name)"], arguments: ["\(Self.hour)"])
        return (answer?.integer ?? 0) <= settings.hourly
    }

    private static let count = RedisScript(
        """
        local count = redis.call('INCR', KEYS[1])
        if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
        return count
        """)
}
