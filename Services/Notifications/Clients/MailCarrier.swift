import Contracts
import Foundation

/// Letters by mail, over connections of their own.
///
/// A letter that may have gone out already is sent again: it has the same Message-ID, and mail programs show it once.
struct MailCarrier: LetterCarrier {
    let mailer: SMTPMailer
    let sender: MailSender

    func start() { mailer.start() }
    func stop() { mailer.stop() }

    func carry(_ content: LetterContent, of letter: Letter, inDoubt: Bool) async -> CarryOutcome {
        guard let address = EmailAddress(rawValue: content.to), let html = content.html else {
            return .refused(DeliveryRefusal("there is nothing to send, or nobody to send it to", isFinal: true))
        }
        let mail = OutgoingMail(
            delivery: DeliveryID(letter.id.uuid), from: sender, to: address, date: letter.createdAt,
            message: Message(subject: content.subject, text: content.text, html: html))
        switch await mailer.send(mail) {
        case .success: return .taken
        case .failure(let refusal): return .refused(refusal)
        }
    }
}
