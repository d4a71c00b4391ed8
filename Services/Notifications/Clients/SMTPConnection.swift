import CCurl
import Foundation

/// A mail with its envelope.
struct MailEnvelope: Sendable {
    let from: String
    let to: String
    /// Headers and body, lines ended by CR LF.
    let content: [UInt8]
}

/// One libcurl handle, used by one thread: it keeps its connection to the mail server between mails.
///
/// Blocks while it sends, at most for `sendLimit`.
final class SMTPConnection {
    /// Milliseconds to reach the server and sign in.
    static let connectLimit = 5_000
    /// Milliseconds for the whole of one mail.
    static let sendLimit = 20_000
    /// Seconds after which an idle connection is not used again; mail servers close theirs after minutes.
    static let idleLimit = 60
    /// CURL_GLOBAL_ALL, a macro that is not imported.
    private static let globalAll = 3

    private static let isReady: Bool = curl_global_init(globalAll) == CURLE_OK

    private let handle: UnsafeMutableRawPointer?
    private let settings: SMTPSettings
    private let greetingName: String

    /// `greetingName` is what we call ourselves in EHLO.
    init(_ settings: SMTPSettings, greetingName: String) {
        self.settings = settings
        self.greetingName = greetingName
        handle = Self.isReady ? curl_easy_init() : nil
    }

    deinit {
        if let handle { curl_easy_cleanup(handle) }
    }

    func send(_ mail: MailEnvelope) -> Result<Void, DeliveryRefusal> {
        guard let handle else { return .failure(DeliveryRefusal("the mail client could not be set up", isFinal: false)) }
        let dialogue = Dialogue(mail.content)
        curl_easy_reset(handle)
        var recipients = curl_slist_append(nil, "<\(mail.to)>")
        defer { curl_slist_free_all(recipients) }
        guard let list = recipients else { return .failure(DeliveryRefusal("out of memory", isFinal: false)) }
        recipients = list
        let code = withExtendedLifetime(dialogue) {
            let set = configure(handle, mail, list, dialogue)
            return set == CURLE_OK ? curl_easy_perform(handle) : set
        }
        guard code != CURLE_OK else { return .success(()) }
        return .failure(Self.refusal(code, reply: trionex_curl_response_code(handle), dialogue.refusal))
    }

    private func configure(
        _ handle: UnsafeMutableRawPointer, _ mail: MailEnvelope, _ recipients: UnsafeMutablePointer<curl_slist>, _ dialogue: Dialogue
    ) -> CURLcode {
        let context = Unmanaged.passUnretained(dialogue).toOpaque()
        let tls =
            switch settings.security {
            case .required: CURLUSESSL_ALL
            case .opportunistic: CURLUSESSL_TRY
            case .off: CURLUSESSL_NONE
            }
        var results = [
            trionex_curl_set_text(handle, CURLOPT_URL, "\(settings.server)/\(greetingName)"),
            trionex_curl_set_text(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps"),
            trionex_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
            trionex_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, Self.connectLimit),
            trionex_curl_set_long(handle, CURLOPT_TIMEOUT_MS, Self.sendLimit),
            trionex_curl_set_long(handle, CURLOPT_MAXAGE_CONN, Self.idleLimit),
            trionex_curl_set_long(handle, CURLOPT_USE_SSL, Int(tls.rawValue)),
            trionex_curl_set_text(handle, CURLOPT_MAIL_FROM, "<\(mail.from)>"),
            trionex_curl_set_list(handle, CURLOPT_MAIL_RCPT, recipients),
            trionex_curl_set_long(handle, CURLOPT_UPLOAD, 1),
            trionex_curl_set_long(handle, CURLOPT_INFILESIZE, mail.content.count),
            trionex_curl_set_reader(handle, { buffer, size, count, context in Dialogue.read(buffer, size * count, context) }, context),
            trionex_curl_set_header_writer(
                handle, { buffer, size, count, context in Dialogue.note(buffer, size * count, context) }, context),
        ]
        if let user = settings.user { results.append(trionex_curl_set_text(handle, CURLOPT_USERNAME, user)) }
        if let password = settings.password { results.append(trionex_curl_set_text(handle, CURLOPT_PASSWORD, password)) }
        if let authorities = settings.authorities { results.append(trionex_curl_set_text(handle, CURLOPT_CAINFO, authorities)) }
        return results.first { $0 != CURLE_OK } ?? CURLE_OK
    }

    /// Replies about signing in and TLS (RFC 4954, RFC 3207): our settings are wrong, not this mail, and somebody can mend them.
    private static let ourFault: Set<Int> = [454, 530, 534, 535, 538]

    /// What the server said decides; without a reply that refuses, what happened to the connection. A 5yz reply is final (RFC 5321,
    /// section 4.2.1).
    private static func refusal(_ code: CURLcode, reply: Int, _ text: String) -> DeliveryRefusal {
        if (400...599).contains(reply), !text.isEmpty {
            return DeliveryRefusal(text, isFinal: reply >= 500 && !ourFault.contains(reply) && code != CURLE_LOGIN_DENIED)
        }
        return DeliveryRefusal("the mail server: \(String(cString: curl_easy_strerror(code)))", isFinal: false)
    }
}

/// What goes out and what comes back during one mail. Only the thread inside `curl_easy_perform` touches it.
private final class Dialogue {
    private let content: [UInt8]
    private var sent = 0
    /// The last reply that refused something, all its lines; the 221 to the farewell after it is none.
    private(set) var refusal = ""
    private var isContinued = false

    init(_ content: [UInt8]) { self.content = content }

    /// libcurl asks for more to send; 0 is the end.
    static func read(_ buffer: UnsafeMutablePointer<CChar>?, _ room: Int, _ context: UnsafeMutableRawPointer?) -> Int {
        guard let buffer, let context else { return 0 }
        let dialogue = Unmanaged<Dialogue>.fromOpaque(context).takeUnretainedValue()
        let count = min(room, dialogue.content.count - dialogue.sent)
        dialogue.content.withUnsafeBytes { bytes in
            guard count > 0, let start = bytes.baseAddress else { return }
            memcpy(buffer, start + dialogue.sent, count)
        }
        dialogue.sent += count
        return count
    }

    /// libcurl hands over a line of the server's.
    static func note(_ buffer: UnsafeMutablePointer<CChar>?, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
        guard let buffer, let context else { return count }
        let dialogue = Unmanaged<Dialogue>.fromOpaque(context).takeUnretainedValue()
        dialogue.note(String(decoding: UnsafeRawBufferPointer(start: buffer, count: count), as: UTF8.self))
        return count
    }

    /// `550-…` is followed by more lines of the same reply, `550 …` is the last (RFC 5321, section 4.2.1).
    private func note(_ line: String) {
        guard line.first == "4" || line.first == "5" else { return }
        refusal = isContinued ? refusal + " " + line.dropFirst(4) : line
        isContinued = line.dropFirst(3).first == "-"
    }
}
