interface UserAgentData {
  readonly mobile: boolean;
  readonly platform: string;
}

/** A first suggestion for this device's name, which the person may change: "Linux computer", "Android phone". */
export function suggestedDeviceName(): string {
  const { userAgentData } = navigator as Navigator & { readonly userAgentData?: UserAgentData };
  if (userAgentData === undefined || userAgentData.platform === '') return '';
  return `${userAgentData.platform} ${userAgentData.mobile ? 'phone' : 'computer'}`;
}
